"""Numbers as sentences say them."""

from __future__ import annotations

import math

from studies.claims.finding import Effect


def points(value: float, *, signed: bool = True) -> str:
    """`+1.2 points` of a score between 0 and 1."""
    return f"{_hundredths(value) if signed else f'{100 * abs(value):.1f}'} points"


def span(low: float, high: float) -> str:
    """`95 % interval −0.4 to +2.8`."""
    return f"95 % interval {_hundredths(low)} to {_hundredths(high)}"


def percent(share: float) -> str:
    """`71 %`."""
    return f"{_whole(share)} %"


def percents(low: float, high: float) -> str:
    """`95 % interval 52 to 93 %`."""
    return f"95 % interval {_whole(low)} to {_whole(high)} %"


def p_value(p: float | None) -> str:
    """`p = 0.03`, `p < 0.001`."""
    if p is None or math.isnan(p):
        return "p unknown"
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def effect(one: Effect) -> str:
    """`+1.2 points (95 % interval −0.4 to +2.8, p = 0.2)`."""
    return f"{points(one.value)} ({span(one.low, one.high)}, {p_value(one.p_holm)})"


def count(n: int, one: str, many: str | None = None) -> str:
    """`1 pair`, `3 pairs`."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def _hundredths(value: float) -> str:
    # adding 0.0 makes a rounded -0.0 a plain zero
    return f"{round(100 * value, 1) + 0.0:+.1f}".replace("-", "−")


def _whole(share: float) -> str:
    return f"{round(100 * share) + 0:,}".replace("-", "−")
