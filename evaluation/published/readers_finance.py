"""English financial datasets as documents, in their published forms (see ``readers``)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from evaluation.published.readers import markdown
from evaluation.published.reading import Doc, reader
from evaluation.published.tables import json_rows, member, rows

SENTIMENTS = ("negative", "neutral", "positive")
STANCES = ("dovish", "hawkish", "neutral")  # the published labels 0, 1, 2
FIQA_NEUTRAL = 0.1  # scores within are neutral; the challenge published scores, not classes
HEADLINE_QUESTIONS = {
    "Price Direction Up": "say that the price of gold goes up",
    "Price Direction Constant": "say that the price of gold stays where it is",
    "Price Direction Down": "say that the price of gold goes down",
    "Asset Comparision": "compare gold with another asset",  # spelt so in the file
    "Past Information": "talk about something in the past",
    "Future Information": "talk about the future",
}


@reader
def phrasebank(path: Path, **_: Any) -> Iterable[Doc]:
    """Financial PhraseBank: ``sentence@label`` lines, agreed on by at least half the annotators."""
    raw = member(path, r"Sentences_50Agree\.txt$") if path.suffix == ".zip" else path.read_bytes()
    for number, line in enumerate(raw.decode("latin-1").splitlines(), start=1):
        if line.strip():
            sentence, at, label = line.rpartition("@")
            if not at or label.strip() not in SENTIMENTS:
                raise ValueError(f"line {number} does not end in @ and a sentiment")
            yield {"sentence": sentence.strip(), "target": SENTIMENTS.index(label.strip())}


@reader
def fiqa(path: Path, **_: Any) -> Iterable[Doc]:
    """FiQA-SA: a sentence, the company it is about, and a score from -1 to 1 made a class."""
    for row in rows(path):
        score = float(row["sentiment_score"])
        if not -1 <= score <= 1:
            raise ValueError(f"the sentiment_score {score} is not between -1 and 1")
        place = 1 + (score > FIQA_NEUTRAL) - (score < -FIQA_NEUTRAL)
        yield {"sentence": row["sentence"], "company": row["target"], "target": place}


@reader
def headlines(path: Path, **_: Any) -> Iterable[Doc]:
    """Gold headlines: six yes-or-no questions about each."""
    for number, row in enumerate(rows(path)):
        for column, asked in HEADLINE_QUESTIONS.items():
            yield {
                "headline": row["News"],
                "asked": asked,
                "target": int(_flag(row[column])),
                "cluster": str(number),
            }


def _flag(value: Any) -> bool:
    text = str(value).strip().lower()
    if text not in ("0", "1", "0.0", "1.0", "true", "false"):
        raise ValueError(f"{value!r} is neither 0 nor 1")
    return text in ("1", "1.0", "true")


@reader
def fomc(path: Path, **_: Any) -> Iterable[Doc]:
    """FOMC communication: a sentence and its stance."""
    for row in rows(path):
        label = int(float(row["label"]))
        if not 0 <= label < len(STANCES):
            raise ValueError(f"the label {label} is none of 0, 1 and 2")
        yield {"sentence": row["sentence"], "target": label}


@reader
def convfinqa(path: Path, **_: Any) -> Iterable[Doc]:
    """ConvFinQA by turns: the report's page, the conversation so far with its right answers.

    The test set's answers are not public; this is the development set.
    """
    if path.suffix == ".zip":
        found = json_rows(member(path, r"(^|/)dev_turn\.json$").decode("utf-8"))
    else:
        found = json_rows(path.read_text(encoding="utf-8"))
    for row in found:
        said = {**row, **row["annotation"]}  # the turn's fields stand in one or the other
        asked, answered = said["dialogue_break"], said["exe_ans_list"]
        turn = len(said["cur_dial"]) - 1
        table = row.get("table") or row.get("table_ori") or []
        told = [" ".join(row["pre_text"]), markdown(table), " ".join(row["post_text"])]
        talk = [
            f"Question: {question}\nAnswer: {_short(answer)}"
            for question, answer in zip(asked[:turn], answered[:turn], strict=True)
        ]
        parts = [*told, *talk, f"Question: {asked[turn]}\nAnswer:"]
        yield {
            "id": row["id"],
            "prompt": "\n\n".join(part for part in parts if part.strip()),
            "question": asked[turn],
            "target": _short(answered[turn]),
            "report": str(row.get("filename") or row["id"].rsplit("-", 1)[0]),
        }


def _short(answer: Any) -> str:
    """An executed answer as it is said: 14.0 as 14, a long fraction in six digits."""
    if isinstance(answer, str):
        return answer
    return f"{float(answer):.6g}" if abs(float(answer)) < 1e6 else f"{float(answer):.2f}"


@reader
def docmath(path: Path, **_: Any) -> Iterable[Doc]:
    """DocMath-Eval, one subset's testmini questions, whose answers are public."""
    for row in _docmath_rows(path):
        yield {
            "id": str(row["question_id"]),
            "document": "\n".join(row["paragraphs"]),
            "question": row["question"],
            "target": repr(float(row["ground_truth"])),
        }


def _docmath_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    for row in rows(path):
        given = row["paragraphs"]
        yield {**row, "paragraphs": json.loads(given) if isinstance(given, str) else given}
