"""The Japanese financial harness's data and chABSA as documents (see ``readers``).

Each document has the prompt of the wanted version, ready to ask (``prompt_versions``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from evaluation.published import prompt_versions
from evaluation.published.reading import Doc, reader
from evaluation.published.tables import members, rows, sheet_rows

KANA = ("ア", "イ", "ウ", "エ", "オ", "カ")
POLARITIES = ("positive", "negative")  # neutral rows stay, and no choice is right there


@reader
def questions(path: Path, task: str, prompt_version: str, **_: Any) -> Iterable[Doc]:
    """cma_basics, fp2 and security_sales_1: one JSON object with the questions under ``data``."""
    for row in rows(path):
        yield _question(task, prompt_version, row)


@reader
def cpa_audit(path: Path, prompt_version: str, **_: Any) -> Iterable[Doc]:
    """The auditing questions of the CPA exam, an Excel sheet; rows marked abnormal are left out."""
    for number, row in enumerate(sheet_rows(path)):
        if not row.get("question") or row.get("abnormal_flg") == 1:
            continue
        told = [f"{kana}: {row[kana]}" for kana in KANA if row.get(kana)]
        question = {
            "id": number,
            "question": str(row["question"]),
            "context": "\n".join(told),
            "choices": [{"id": i, "text": str(row[str(i + 1)])} for i in range(6)],
            "answer": int(row["a_no"]) - 1,
        }
        yield _question("cpa_audit", prompt_version, question)


def _question(task: str, version: str, row: Mapping[str, Any]) -> Doc:
    version = prompt_versions.of_task(task, version)
    choices, right = prompt_versions.answers(task, version, row)
    return {
        "id": str(row["id"]),
        "prompt": prompt_versions.question_text(task, version, row),
        "question": str(row["question"]),
        "choices": choices,
        "target": right,
    }


@reader
def chabsa(path: Path, prompt_version: str, **_: Any) -> Iterable[Doc]:
    """chABSA: every opinion of every sentence, its target and polarity.

    Args:
        path: the authors' zip, or one of its ``*_ann.json`` files in their folder.
        prompt_version: of the harness.
    """
    for report in _reports(path):
        for row in report["sentences"]:
            for opinion in row["opinions"]:
                yield {
                    "prompt": prompt_versions.chabsa_text(
                        prompt_version, row["sentence"], opinion["target"]
                    ),
                    "polarity": opinion["polarity"],
                    "report": str(report["header"]["document_id"]),
                }


def _reports(path: Path) -> Iterator[Mapping[str, Any]]:
    if path.suffix == ".zip":
        for text in members(path, r"[^/]*_ann\.json$"):
            yield json.loads(text)
    else:
        for file in sorted(path.parent.glob("*_ann.json")):
            yield json.loads(file.read_text(encoding="utf-8"))
