"""No answer, cut off and wrong are three different things: the first two in words."""

from __future__ import annotations

from db.queries.answers import FullAnswer, Mark
from db.queries.board import Row

STATES = {"missing": "∅ no answer", "truncated": "✂ cut off"}


def share(value: float | None) -> str:
    """`12 %`, `0.4 %`, or a dash where nothing was written."""
    if value is None:
        return "–"
    return f"{100 * value:.0f} %" if value == 0 or value >= 0.0995 else f"{100 * value:.1f} %"


def said(row: Row) -> str | None:
    """`no answer 3.0 %, cut off 12 % of the written answers`; None where all gave one."""
    parts = [
        f"{word} {share(value)}"
        for word, value in (("no answer", row.no_answer), ("cut off", row.cut_off))
        if value
    ]
    return f"{', '.join(parts)} of the written answers" if parts else None


def state(answer: Mark | FullAnswer) -> str | None:
    """How an answer failed to be one; None for an answer, right or wrong."""
    return STATES.get(answer.state or "")
