"""From a reply to right, wrong, missing or truncated: ``process_results`` for task YAMLs.

A task names one of the graders of this module::

    process_results: !function evaluation.extraction.grade.number
    metric_list:
      - {metric: acc, aggregation: mean, higher_is_better: true}
      - {metric: missing, aggregation: mean, higher_is_better: false}
      - {metric: truncated, aggregation: mean, higher_is_better: false}
      - {metric: rescaled, aggregation: mean, higher_is_better: false}
      - {metric: percent_as_fraction, aggregation: mean, higher_is_better: false}

Its documents have the gold answer as ``target`` (or ``answer``), as text or number; ``unit``, where
there is one, is what a target without a unit counts in (``百万円``, ``million``, ``%``), and
``question`` helps to recognise an echoed prompt. A task whose documents are otherwise calls
``grade_number`` or ``grade_words`` in a ``process_results`` of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from evaluation.extraction.compare import TOLERANCE, Rule, match
from evaluation.extraction.cues import find_number, find_words, own_words, pick
from evaluation.extraction.numbers import Quantity, normalise, read_amount
from evaluation.extraction.reply import Reply

State = Literal["right", "wrong", "missing", "truncated"]
EXTRACTION_VERSION = 1
"""Raised when a reply is read or compared in another way."""
CUT_OFF = "(cut off before an answer)"
"""What is kept as the extracted answer of a truncated reply."""

_OPPOSITES = (
    ("増収", "減収"), ("増益", "減益"), ("増加", "減少"), ("改善", "悪化"), ("上昇", "下落"),
    ("はい", "いいえ"), ("yes", "no"), ("true", "false"), ("increase", "decrease"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Grade:
    """What a reply was worth.

    Attributes:
        state: "missing" when no answer was given, "truncated" when the limit of new tokens came
            before it, else "right" or "wrong".
        span: the text that was taken as the answer; empty when there is none.
        rule: by which a right number agrees.
    """

    state: State
    span: str = ""
    rule: Rule | None = None

    @property
    def extracted(self) -> str | None:
        """The answer as it is kept: the span, with the rule behind it; None for no answer."""
        if self.state == "truncated":
            return CUT_OFF
        if self.state == "missing":
            return None
        return f"{self.span} ({self.rule})" if self.rule not in (None, "same") else self.span


def grade_number(
    reply: str,
    target: Quantity,
    *,
    question: str = "",
    stopped: str | None = None,
    tolerance: float = TOLERANCE,
    strict: bool = False,
) -> Grade:
    """Grade a reply to a question for an amount.

    Args:
        reply: all that the model wrote.
        target: what is right.
        question: to recognise it in an echo.
        stopped: how the reply ended; "length" means that it was cut off.
        tolerance: largest accepted difference as a share of the target.
        strict: units must be as they should; see ``compare.match``.
    """
    text = own_words(reply, question)
    cut_off = stopped == "length" and normalise(reply).endswith(text)
    answer = find_number(text)
    # A sum on the way to the answer is none, and a figure at the cut may lack its last digits.
    if cut_off and (answer is None or answer.how == "last" or answer.at_end):
        return Grade("truncated")
    if answer is None or answer.quantity is None:
        return Grade("missing")
    rule = match(answer.quantity, target, tolerance, strict=strict)
    return Grade("right" if rule else "wrong", answer.quantity.text, rule)


def grade_words(
    reply: str, targets: Sequence[str], *, question: str = "", stopped: str | None = None
) -> Grade:
    """Grade a reply to a question for a word or a phrase; any of the targets is right.

    Case, punctuation and the polite endings do not matter. Where the target is one of a pair of
    opposites (増収 and 減収, yes and no), the one that the answer's line names counts.
    """
    text = own_words(reply, question)
    answer = find_words(text)
    if answer is None:
        cut_off = stopped == "length"
        return Grade("truncated" if cut_off else "missing")
    wanted = [_plain(target) for target in targets]
    pair = next((pair for pair in _OPPOSITES if wanted and wanted[0] in pair), None)
    if pair is None:
        return Grade("right" if _plain(answer.text) in wanted else "wrong", answer.text)
    named = _named(answer.text, pair) or _named(_last_line(text), pair)
    if named is None:
        return Grade("truncated" if stopped == "length" else "missing")
    return Grade("right" if named == wanted[0] else "wrong", named)


def number(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """``process_results``: an amount within 1 %, units understood."""
    return _number(doc, results, TOLERANCE, strict=False)


def exact_number(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """``process_results``: exactly the number, as in GSM8K and MGSM."""
    return _number(doc, results, 0.0, strict=True)


def number_or_words(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """``process_results``: an amount where the target is one, else its words."""
    if read_target(doc) is not None:
        return number(doc, results)
    return words(doc, results)


def span(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """``process_results``: words copied from a text; a copied figure in any unit, but exactly."""
    if read_target(doc) is not None:
        return _number(doc, results, 0.0, strict=False)
    return words(doc, results)


def every_span(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """``process_results``: an answer that names every one of the target's spans."""
    reply = results[0] if results else ""
    answer = find_words(own_words(reply, str(doc.get("question", ""))))
    if answer is None:
        state: State = "truncated" if _stopped(reply) == "length" else "missing"
        return _metrics(Grade(state), reply)
    said = " ".join(normalise(answer.text).lower().split())
    named = all(_named_whole(_plain(str(target)), said) for target in doc["target"])
    return _metrics(Grade("right" if named else "wrong", answer.text), reply)


def words(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """``process_results``: the target's words, or one of several targets'."""
    given = doc.get("target", doc.get("answer", ""))
    targets = [str(one) for one in (given if isinstance(given, list | tuple) else [given])]
    reply = results[0] if results else ""
    grade = grade_words(
        reply, targets, question=str(doc.get("question", "")), stopped=_stopped(reply)
    )
    return _metrics(grade, reply)


def read_target(doc: Mapping[str, Any]) -> Quantity | None:
    """The gold amount of a document, in the document's unit where it names none itself.

    The worked solutions of GSM8K are read as a reply is: the figure after ``####``.
    """
    given = doc.get("target", doc.get("answer", ""))
    if isinstance(given, list | tuple):
        given = given[0] if len(given) == 1 else ""
    text = str(given)
    if "####" in text:
        return pick(normalise(text.rsplit("####", 1)[1]))
    quantity = read_amount(text)
    unit = str(doc.get("unit") or "")
    if quantity is None or not unit or quantity.scaled or quantity.kind == "percent":
        return quantity
    return read_amount(f"{text} {unit}") or quantity


def _number(
    doc: Mapping[str, Any], results: Sequence[str], tolerance: float, *, strict: bool
) -> dict[str, Any]:
    target = read_target(doc)
    if target is None:
        raise ValueError(f"its target {doc.get('target', doc.get('answer'))!r} is not an amount")
    reply = results[0] if results else ""
    grade = grade_number(
        reply,
        target,
        question=str(doc.get("question", "")),
        stopped=_stopped(reply),
        tolerance=tolerance,
        strict=strict,
    )
    return _metrics(grade, reply)


def _metrics(grade: Grade, reply: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "acc": float(grade.state == "right"),
        "missing": float(grade.state == "missing"),
        "truncated": float(grade.state == "truncated"),
        "rescaled": float(grade.rule == "rescaled"),
        "percent_as_fraction": float(grade.rule == "percent-as-fraction"),
    }
    # The harness can only average what it is given; our scorer keeps this with the answer.
    return found | {"extracted": grade.extracted} if isinstance(reply, Reply) else found


def _stopped(reply: str) -> str | None:
    return reply.stopped if isinstance(reply, Reply) else None


def _plain(text: str) -> str:
    text = normalise(text).strip().lower()
    text = re.sub(r"(?:しました|でした|です|である|した|となる|になる)?[。.!]*$", "", text)
    return re.sub(r"^[\s\"'「『(]+|[\s\"'」』),.]+$", "", re.sub(r"\s+", " ", text))


def _named(text: str, pair: tuple[str, str]) -> str | None:
    """The one of two opposites that a text names first."""
    found = {word: _position(text.lower(), word) for word in pair}
    named = [word for word in pair if found[word] >= 0]
    return min(named, key=lambda word: found[word]) if named else None


def _position(text: str, word: str) -> int:
    pattern = rf"\b{word}[ds]?\b" if word.isascii() else word
    found = re.search(pattern, text)
    return found.start() if found else -1


def _named_whole(target: str, text: str) -> bool:
    """Whether a text has the target as words of its own: 2019 is not in 12019."""
    return bool(re.search(rf"(?<![\w.]){re.escape(target)}(?![\w%])", text))


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")
