"""Right, wrong, missing or truncated: what one answer came to, and the shares over a task.

*No answer* (the model wrote something in which no answer stands), *truncated* (the limit of new
tokens came before the answer) and *wrong* are three different things: a low accuracy that is
mostly the first two says that the prompt or the limit is wrong, not the model's knowledge. Only
what a model wrote can be missing; where choices are compared there always is an answer.

Needs neither torch nor lm-eval, because imports of results use it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from evaluation.extraction.grade import CUT_OFF

State = Literal["right", "wrong", "missing", "truncated"]

UNREADABLE = "[invalid]"  # what the harness's regular-expression filters give for no match


def state_of(answer: Mapping[str, Any]) -> State | None:
    """What an answer came to; None for a written answer of a metric of degree, or a compared one.

    Args:
        answer: keys output, extracted (None: no answer found), choices (None for what was
            written), correct (None for a metric of degree), and stopped ("length" where the limit
            of new tokens ended the reply).
    """
    correct = answer.get("correct")
    if correct:
        return "right"
    if answer.get("choices") is None:
        cut_off = answer.get("stopped") == "length"
        extracted = answer.get("extracted")
        if extracted == CUT_OFF:
            return "truncated"
        if extracted is None or extracted.strip() in ("", UNREADABLE):
            return "truncated" if cut_off else "missing"
        # Where the whole reply is the answer, one that was cut off is no answer yet.
        if cut_off and extracted.strip() == str(answer.get("output", "")).strip():
            return "truncated"
    return None if correct is None else "wrong"


def shares(answers: Iterable[Mapping[str, Any]]) -> tuple[float | None, float | None]:
    """Shares of missing and of truncated answers; (None, None) where nothing was written.

    Args:
        answers: as for ``state_of``, with its result under ``state``.
    """
    rows = list(answers)
    if not any(row.get("choices") is None for row in rows):
        return None, None
    states = [row.get("state") for row in rows]
    return states.count("missing") / len(rows), states.count("truncated") / len(rows)
