"""Reading a judge's answer. What cannot be read is said to be so, and is never a score."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass

from evaluation.judge.rubrics import PAIR

OK, UNPARSED = "ok", "unparsed"
LOWEST, HIGHEST = 1.0, 10.0
_THINKING = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL)
_NUMBER = r"(-?\d{1,3}(?:\.\d+)?)"
_GRADES = (
    re.compile(rf"\[\[\s*{_NUMBER}\s*(?:/\s*10\s*)?\]\]"),
    re.compile(rf"(?:^|[^\[\w])\[\s*{_NUMBER}\s*\]\W*\Z"),
    re.compile(
        rf"\b(?:overall |final )?(?:rating|grade|score)\s*(?:is|=|:)\s*\**\s*{_NUMBER}"
        r"\s*(?:/\s*10)?(?![\d.]*\d)",
        re.IGNORECASE,
    ),
    re.compile(rf"(?:評価|評点|スコア|点数|採点)\s*(?:は|:|=)\s*\**\s*{_NUMBER}"),
)
_VERDICTS = (
    re.compile(r"\[\[\s*(A|B|C|tie)\s*\]\]", re.IGNORECASE),
    re.compile(r"(?:^|[^\[\w])\[\s*(A|B|C|tie)\s*\]\W*\Z", re.IGNORECASE),
    re.compile(
        r"\b(?:final )?(?:verdict|winner|better answer)\s*(?:is|=|:)\s*\**\s*"
        r"(?:assistant |answer )?(A|B|C|tie)\b",
        re.IGNORECASE,
    ),
)


@dataclass(frozen=True)
class Verdict:
    """What a judge said.

    Attributes:
        state: "ok" or "unparsed".
        score: 1 to 10, of a single answer.
        verdict: "A", "B" or "tie", of a pair.
        text: all that was said.
    """

    state: str
    score: float | None
    verdict: str | None
    text: str


def read(mode: str, text: str) -> Verdict:
    """A judge's answer as a verdict.

    The last mark counts: a judge may quote others on its way, the answers' own among them. Thinking
    is left out. A grade outside of 1 to 10 is no grade.

    Args:
        mode: "single" or "pair".
        text: the judge's answer.
    """
    plain = unicodedata.normalize("NFKC", _THINKING.sub(" ", text))
    found = _as_json(mode, plain)
    if found is None:
        for pattern in _VERDICTS if mode == PAIR else _GRADES:
            marks = pattern.findall(plain)
            if marks:
                found = marks[-1]
                break
    if found is None:
        return Verdict(UNPARSED, None, None, text)
    if mode == PAIR:
        letter = str(found).strip().upper()
        named = {"A": "A", "B": "B", "C": "tie", "TIE": "tie"}.get(letter)
        return Verdict(OK if named else UNPARSED, None, named, text)
    return _graded(found, text)


def _graded(found: object, text: str) -> Verdict:
    try:
        value = float(str(found))
    except ValueError:
        return Verdict(UNPARSED, None, None, text)
    if not LOWEST <= value <= HIGHEST:
        return Verdict(UNPARSED, None, None, text)
    return Verdict(OK, value, None, text)


def _as_json(mode: str, text: str) -> object | None:
    """The verdict of a judge that answers in JSON, bare or in a code fence; None otherwise."""
    body = re.sub(r"^\s*```(?:json)?|```\s*$", "", text.strip())
    try:
        data = json.loads(body)
    except ValueError:
        return None
    if not isinstance(data, dict):
        return None
    names = ("verdict", "winner") if mode == PAIR else ("rating", "grade", "score")
    lowered = {str(key).lower(): value for key, value in data.items()}
    return next((lowered[name] for name in names if name in lowered), None)
