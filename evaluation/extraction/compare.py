"""By which rule two amounts agree, if they do."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from evaluation.extraction.numbers import Quantity

Rule = Literal["same", "rescaled", "percent-as-fraction"]
TOLERANCE = 0.01
# Units in which a table may count: ones, thousands, 万, millions, 億, billions, 兆.
_SCALES = (1.0, 1e3, 1e4, 1e6, 1e8, 1e9, 1e12)


def match(
    reply: Quantity, target: Quantity, tolerance: float = TOLERANCE, *, strict: bool = False
) -> Rule | None:
    """The rule by which a reply agrees with the target, None when it is wrong.

    A reply without a unit is taken in the target's. Units that both state must agree in what they
    come to: 1億2,000万円 is 120百万円, 3億円 is not 3百万円. Percentages, points and basis points
    are all compared in percent. "A decrease of 5 %" is -5 % where the target is negative.

    * ``same``: equal in the units written.
    * ``rescaled``: one of the two names no unit of scale, and they are equal in another one.
    * ``percent-as-fraction``: 0.153 for 15.3 %, or the reverse.

    Args:
        reply: what was answered.
        target: what is right.
        tolerance: largest accepted difference as a share of the target.
        strict: only ``same`` counts, as for the whole numbers of school mathematics.
    """
    if reply.falling and reply.figure > 0 > target.figure:
        reply = replace(reply, figure=-reply.figure)
    rule = _rule(reply, target, tolerance)
    return None if strict and rule != "same" else rule


def _rule(reply: Quantity, target: Quantity, tolerance: float) -> Rule | None:
    percents = [one.kind == "percent" for one in (reply, target)]
    if any(percents):
        return _percent_rule(reply, target, tolerance)
    if _close(reply.value, target.value, tolerance):
        return "same"
    if target.scaled and not reply.scaled:
        if _close(reply.figure, target.figure, tolerance):
            return "same"
        if any(_close(reply.value * scale, target.value, tolerance) for scale in _SCALES):
            return "rescaled"
    if reply.scaled and not target.scaled and _close(reply.figure, target.figure, tolerance):
        return "rescaled"
    return None


def _percent_rule(reply: Quantity, target: Quantity, tolerance: float) -> Rule | None:
    other = target if reply.kind == "percent" else reply
    if other.kind != "percent" and (other.kind == "money" or other.scaled):
        return None  # a share is no sum of money
    if _close(reply.value, target.value, tolerance):
        return "same"
    if reply.kind != "percent" and _close(100 * reply.value, target.value, tolerance):
        return "percent-as-fraction"
    if target.kind != "percent" and _close(reply.value / 100, target.value, tolerance):
        return "percent-as-fraction"
    return None


def _close(value: float, target: float, tolerance: float) -> bool:
    # The slack beyond the tolerance is for the last bit: 0.99 is within 1 % of 1.
    return abs(value - target) <= tolerance * abs(target) + 1e-9 * max(1e-3, abs(target))
