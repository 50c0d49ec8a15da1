"""Rows of a published file, whatever its form: CSV, Parquet, JSON, JSON lines, Excel, or in a zip.

Columns are read as they are; what they mean is the readers' business.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

Row = Mapping[str, Any]
_SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_MOST_XML_BYTES = 200_000_000  # a workbook that unpacks to more is no benchmark
_MOST_BYTES = 2_000_000_000  # of one file of an archive


def rows(path: Path) -> Iterator[Row]:
    """The rows of a table with named columns.

    Args:
        path: .csv, .parquet, .xlsx, .json (a list, or an object with a list under ``data``) or
            .jsonl.

    Raises:
        OSError, ValueError, KeyError: the file cannot be read.
    """
    match path.suffix.lower():
        case ".parquet":
            from pyarrow import parquet

            yield from parquet.read_table(path).to_pylist()
        case ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                yield from csv.DictReader(file)
        case ".xlsx":
            yield from sheet_rows(path)
        case _:
            yield from json_rows(path.read_text(encoding="utf-8"))


def json_rows(text: str) -> Iterator[Row]:
    """Objects of a JSON list, of an object with ``data``, or of lines."""
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        whole = [json.loads(line) for line in text.split("\n") if line.strip()]
    if isinstance(whole, dict):
        whole = whole.get("data", [whole])
    for number, row in enumerate(whole, start=1):
        if not isinstance(row, dict):
            raise ValueError(f"entry {number} is not a JSON object")
        yield row


def member(path: Path, pattern: str) -> bytes:
    """The one file of a zip whose name matches.

    Raises:
        ValueError: no file of it does.
    """
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            # An archive made on a Mac has a shadow of every file.
            if re.search(pattern, name) and "__MACOSX" not in name:
                return _unpacked(archive, name)
    raise ValueError(f"the archive has no file like {pattern}")


def members(path: Path, pattern: str) -> Iterator[bytes]:
    """Every file of a zip whose name matches, by name."""
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if re.search(pattern, name) and "__MACOSX" not in name:
                yield _unpacked(archive, name)


def _unpacked(archive: zipfile.ZipFile, name: str) -> bytes:
    """A file of an archive, unless it is one that only pretends to be small."""
    if archive.getinfo(name).file_size > _MOST_BYTES:
        raise ValueError(f"{name} unpacks to more than 2 GB")
    return archive.read(name)


def sheet_rows(path: Path) -> Iterator[Row]:
    """The first sheet of an Excel workbook, its first row the column names.

    A workbook is a zip of XML; reading one sheet of plain values needs no further library. Empty
    cells are left out of a row.
    """
    with zipfile.ZipFile(path) as book:
        if sum(info.file_size for info in book.infolist()) > _MOST_XML_BYTES:
            raise ValueError("the workbook unpacks to more than 200 MB")
        names = book.namelist()
        shared = (
            _shared(book.read("xl/sharedStrings.xml")) if "xl/sharedStrings.xml" in names else []
        )
        sheets = sorted(
            name for name in names if re.fullmatch(r"xl/worksheets/sheet\d+\.xml", name)
        )
        if not sheets:
            raise ValueError("the workbook has no sheet")
        table = _cells(book.read(sheets[0]), shared)
    head = next(table, {})
    for cells in table:
        yield {str(head[column]): value for column, value in cells.items() if column in head}


def _shared(text: bytes) -> list[str]:
    root = _parse(text)
    return ["".join(part.text or "" for part in _texts(item)) for item in root.iter(f"{_SHEET}si")]


def _texts(item: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """Text parts of a string, without its reading aids (furigana)."""
    for part in item:
        if part.tag == f"{_SHEET}t":
            yield part
        elif part.tag == f"{_SHEET}r":
            yield from part.findall(f"{_SHEET}t")


def _cells(text: bytes, shared: list[str]) -> Iterator[dict[str, Any]]:
    """Column letters to values, row by row."""
    for row in _parse(text).iter(f"{_SHEET}row"):
        cells: dict[str, Any] = {}
        for cell in row.findall(f"{_SHEET}c"):
            column = re.sub(r"\d", "", cell.get("r", ""))
            value = _value(cell, shared)
            if value not in (None, ""):
                cells[column] = value
        yield cells


def _value(cell: ElementTree.Element, shared: list[str]) -> Any:
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        return "".join(part.text or "" for part in cell.iter(f"{_SHEET}t"))
    found = cell.find(f"{_SHEET}v")
    if found is None or found.text is None:
        return None
    if kind == "s":
        return shared[int(found.text)]
    if kind in ("str", "e", "b"):
        return found.text
    number = float(found.text)
    return int(number) if number.is_integer() else number


def _parse(text: bytes) -> ElementTree.Element:
    if b"<!DOCTYPE" in text[:2000] or b"<!ENTITY" in text:
        raise ValueError("the workbook's XML defines entities, which none needs")
    return ElementTree.parse(io.BytesIO(text)).getroot()
