"""Scores and differences in words. A difference is never told by colour alone: arrow, sign, word.

Scores are stored on the metric's own scale (0-1 for accuracy) and shown in points: 0.674 is 67.4.
"""

from __future__ import annotations

from collections.abc import Mapping

POINTS = 100.0

VERDICTS: Mapping[str, str] = {
    "better": "▲ better",
    "worse": "▼ worse",
    "noise": "≈ noise",
    "unknown": "? no interval",
}
BASELINE = "● baseline"
NO_BASELINE = "no baseline"

VERDICT_COLOURS: Mapping[str, str] = {
    VERDICTS["better"]: "green",
    VERDICTS["worse"]: "red",
    VERDICTS["noise"]: "gray",
    VERDICTS["unknown"]: "gray",
    BASELINE: "blue",
    NO_BASELINE: "gray",
}


def points(value: float | None) -> str:
    """`67.4`."""
    return "–" if value is None else f"{value * POINTS:.1f}"


def signed(value: float | None) -> str:
    """`+2.3`, `−0.4`, `0.0`: with a real minus sign, and no sign where it rounds to nothing."""
    if value is None:
        return "–"
    text = f"{abs(value) * POINTS:.1f}"
    return text if float(text) == 0 else ("+" if value > 0 else "−") + text


def interval(low: float | None, high: float | None) -> str:
    """`−0.3 … +2.1`."""
    return "–" if low is None or high is None else f"{signed(low)} … {signed(high)}"


def p_value(p: float | None) -> str:
    """`0.034`, `< 0.001`."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def right_or_wrong(correct: bool | None, score: float | None) -> str:
    """`✓ right`, `✗ wrong`, the score of a metric of degree, or a dash where nobody answered."""
    if score is None:
        return "–"
    if correct is None:
        return f"{score:.2f}"
    return "✓ right" if correct else "✗ wrong"
