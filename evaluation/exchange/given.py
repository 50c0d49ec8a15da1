"""Which files make up one result: a results file, and the samples files that belong to it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from evaluation.errors import SuiteError

LARGEST_BYTES = 2_000_000_000
_DATE = re.compile(r"_(\d{4}-\d{2}-\d{2}T\d{2}[-:]\d{2}[-:]\d{2}(?:\.\d+)?)$")


class ExchangeError(SuiteError):
    """A file that cannot be read as results, in one sentence."""


@dataclass(frozen=True)
class Given:
    """A results file with its samples files.

    Attributes:
        name: of the results file.
        results: its content.
        samples: name of each samples file -> its rows.
    """

    name: str
    results: Mapping[str, Any]
    samples: Mapping[str, list[dict[str, Any]]]


def from_path(path: Path) -> Given:
    """A results file on disk with the samples beside it, or a folder that holds one result.

    Raises:
        ExchangeError: nothing there, several results in the folder, or a file that is no result.
    """
    path = path.expanduser()
    if not path.exists():
        raise ExchangeError(f"There is no file or folder {path}.")
    folder = path if path.is_dir() else path.parent
    files = sorted(p for p in folder.iterdir() if p.suffix in (".json", ".jsonl") and p.is_file())
    if path.is_dir():
        mains = [file for file in files if _looks_main(file.name)]
        if len(mains) != 1:
            found = "no results file" if not mains else f"{len(mains)} results files"
            raise ExchangeError(f"The folder {path} holds {found} (results_*.json); name the file.")
        path = mains[0]
    date = _date(path.name)
    beside = [p for p in files if p != path and _is_samples(p.name) and _date(p.name) == date]
    return from_texts({p.name: _text(p) for p in [path, *beside]})


def from_texts(texts: Mapping[str, str]) -> Given:
    """Files by name, one of which is a results file and the others its samples.

    Raises:
        ExchangeError: none or several are results files, or a file cannot be read.
    """
    results: dict[str, dict[str, Any]] = {}
    samples: dict[str, list[dict[str, Any]]] = {}
    for name, text in texts.items():
        if PurePath(name).suffix == ".jsonl":
            samples[name] = _lines(name, text)
            continue
        value = _json(name, text)
        if isinstance(value, list):
            samples[name] = _rows(name, value)
        elif isinstance(value, dict) and isinstance(value.get("results"), dict):
            results[name] = value
        else:
            raise ExchangeError(f"{name} has no `results`: it is neither a result file of lm-eval "
                                "nor of the Japanese financial harness.")  # fmt: skip
    if len(results) != 1:
        what = "None of the files is" if not results else f"{len(results)} of the files are"
        raise ExchangeError(f"{what} a results file (results_*.json); give one, with its samples.")
    ((name, value),) = results.items()
    date = _date(name)
    for other in samples:
        if date and _date(other) and _date(other) != date:
            raise ExchangeError(f"{other} is of another run than {name}: their dates differ.")
    return Given(name, value, samples)


def task_of(file: str, tasks: Mapping[str, Any]) -> str:
    """The task that a samples file is of, told from its name.

    Raises:
        ExchangeError: no task of the results file.
    """
    stem = _DATE.sub("", PurePath(file).stem)
    names = {task: safe(task) for task in tasks}
    fits = [t for t, n in names.items() if stem in (n, f"samples_{n}") or stem.endswith(f"_{n}")]
    if not fits:
        raise ExchangeError(f"{file} belongs to no task of the results file.")
    return max(fits, key=len)


def safe(name: str) -> str:
    """A task's or suite's name as part of a file's name: never a path."""
    return re.sub(r"[^\w.+-]+", "_", name)


def _looks_main(name: str) -> bool:
    return name.endswith(".json") and name.startswith("result")


def _is_samples(name: str) -> bool:
    return name.startswith("samples_") or (
        name.endswith(".jsonl") and not name.startswith("result")
    )


def _date(name: str) -> str:
    found = _DATE.search(PurePath(name).stem)
    return found.group(1).replace(":", "-") if found else ""


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise ExchangeError(f"{path} is larger than 2 GB, which is no result file.")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ExchangeError(f"{path.name} is not a text file (UTF-8).") from error
    except OSError as error:
        raise ExchangeError(f"{path} cannot be read: {error.strerror}.") from error


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # a number of too many digits is the former
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ExchangeError(f"{name}{where} is not JSON; was it cut off?") from error


def _lines(name: str, text: str) -> list[dict[str, Any]]:
    """Rows of a samples file; older versions of lm-eval wrote one list into it."""
    if text.lstrip().startswith("["):
        return _rows(name, _json(name, text))
    rows = []
    # Not splitlines(): it also splits at separators that JSON strings may contain.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise ExchangeError(
                    f"{name}, line {number} is not JSON; was it cut off?"
                ) from error
    return _rows(name, rows)


def _rows(name: str, value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ExchangeError(f"{name} does not hold one JSON object for each item.")
    return value
