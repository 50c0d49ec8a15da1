"""Public benchmark files as documents that task YAMLs ask: ``custom_dataset: !function ...``.

A task names the file (in the data folder) and what of it is meant::

    custom_dataset: !function evaluation.published.readers.jfinqa
    dataset_kwargs: {published: jfinqa/jfinqa_v1.json, subtask: numerical_reasoning}

Every reader gives a ``test`` split whose documents have ``prompt`` and ``target`` among their
fields; the fields that graders understand are those of ``evaluation.extraction.grade``.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from evaluation.harness.tasks import read_json_lines
from evaluation.published.reading import Doc, reader
from evaluation.published.tables import rows


@reader
def jfinqa(path: Path, subtask: str, **_: Any) -> Iterable[Doc]:
    """One subtask of JFinQA, asked as its authors' harness task asks it.

    The answers are figures in the table's unit, percentages, or one of two words.
    """
    for row in json.loads(path.read_text(encoding="utf-8")):
        if row["subtask"] != subtask:
            continue
        table = row["table"]
        parts = [
            *row["pre_text"],
            markdown([table["headers"], *table["rows"]]),
            *row["post_text"],
            f"Question: {row['qa']['question']}\nAnswer:",
        ]
        yield {
            "id": row["id"],
            "prompt": "\n\n".join(part for part in parts if part),
            "question": row["qa"]["question"],
            "target": row["qa"]["answer"],
            "unit": row["scale"],
            "company": row["edinet_code"],
        }


@reader
def tatqa(path: Path, answer_type: str, **_: Any) -> Iterable[Doc]:
    """The questions of TAT-QA's gold test file with one type of answer.

    Types are arithmetic, count, span and multi-span; ``target`` is a list for the last.
    """
    for context in json.loads(path.read_text(encoding="utf-8")):
        paragraphs = sorted(context["paragraphs"], key=lambda one: int(one["order"]))
        told = [markdown(context["table"]["table"]), *(one["text"] for one in paragraphs)]
        for row in context["questions"]:
            if row["answer_type"] != answer_type:
                continue
            given = row["answer"] if isinstance(row["answer"], list) else [row["answer"]]
            answers = [str(one) for one in given]
            yield {
                "id": row["uid"],
                "prompt": "\n\n".join([*told, f"Question: {row['question']}\nAnswer:"]),
                "question": row["question"],
                "target": answers if answer_type == "multi-span" else answers[0],
                "unit": row["scale"],
                "context": context["table"]["uid"],
            }


@reader
def gsm8k(path: Path, **_: Any) -> Iterable[Doc]:
    """GSM8K's ``question`` and worked ``answer``; the target is the figure after ``####``."""
    lines = rows(path) if path.suffix == ".parquet" else read_json_lines([path])
    for row in lines:
        target = row["answer"].rsplit("####", 1)[1].strip()
        yield {"question": row["question"], "solution": row["answer"], "target": target}


@reader
def mgsm(path: Path, **_: Any) -> Iterable[Doc]:
    """MGSM's two columns without a heading: question and number."""
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            if row:
                yield {"question": row[0], "target": row[1]}


@reader
def jcommonsenseqa(path: Path, **_: Any) -> Iterable[Doc]:
    """JGLUE's lines of one question and five choices; ``target`` is the right one's number."""
    for row in read_json_lines([path]):
        yield {
            "id": row["q_id"],
            "question": row["question"],
            "choices": [row[f"choice{i}"] for i in range(5)],
            "target": int(row["label"]),
        }


def markdown(rows: Sequence[Sequence[Any]]) -> str:
    """A table as Markdown, its first row as the heading."""
    if not rows:
        return ""
    lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    lines.insert(1, "| " + " | ".join("---" for _ in rows[0]) + " |")
    return "\n".join(lines)
