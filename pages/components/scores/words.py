"""Scores and differences in words. A difference is never told by colour alone: arrow, sign, word.

Scores are stored on the metric's own scale (0-1 for accuracy) and shown in points: 0.674 is 67.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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


def on_scale(value: float | None, *, share: bool) -> float | None:
    """A score for a table: a share in points, another metric as it is."""
    return value * POINTS if share and value is not None else value


def figure(value: float | None, *, share: bool) -> str:
    """`67.4` of a share, `1.283` of a metric on a scale of its own."""
    if value is None:
        return "–"
    return points(value) if share else f"{value:.4g}"


def change(value: float | None, *, share: bool) -> str:
    """`+2.3` points, or `−0.0213` on a metric's own scale."""
    if share or value is None:
        return signed(value)
    return f"{value:+.3g}".replace("-", "−")


def signed(value: float | None) -> str:
    """`+2.3`, `−0.4`, `0.0`: with a real minus sign, and no sign where it rounds to nothing."""
    if value is None:
        return "–"
    text = f"{abs(value) * POINTS:.1f}"
    return text if float(text) == 0 else ("+" if value > 0 else "−") + text


def task_labels(tasks: Mapping[str, str]) -> dict[str, str]:
    """Task -> a short label for pictures: without what all tasks, then all of a domain, begin with.

    `sandbox_finance_firms` and `sandbox_finance_terms` stand under "finance" as `firms`, `terms`.
    """
    shared = _shared_words(tasks)
    labels = {task: task.split("_")[shared:] for task in tasks}
    for domain in set(tasks.values()):
        mine = [task for task in tasks if tasks[task] == domain]
        if all(labels[task][0] == domain and len(labels[task]) > 1 for task in mine):
            labels.update({task: labels[task][1:] for task in mine})
    return {task: "_".join(parts) for task, parts in labels.items()}


def _shared_words(tasks: Iterable[str]) -> int:
    """How many leading words all names have in common, at least one word being left of each."""
    names = [task.split("_") for task in tasks]
    most = min((len(name) for name in names), default=1) - 1 if len(names) > 1 else 0
    for place in range(most):
        if len({name[place] for name in names}) > 1:
            return place
    return most


def interval(low: float | None, high: float | None, *, share: bool = True) -> str:
    """`−0.3 … +2.1`, in points or on a metric's own scale."""
    if low is None or high is None:
        return "–"
    told = _bound if share else lambda bound: change(bound, share=False)
    return f"{told(low)} … {told(high)}"


def _bound(value: float) -> str:
    # An interval that just misses zero must not seem to touch it.
    text = signed(value)
    if text != "0.0" or abs(value) * POINTS < 0.0001:
        return text
    return ("+" if value > 0 else "−") + f"{abs(value) * POINTS:.1g}"


def right_or_wrong(correct: bool | None, score: float | None) -> str:
    """`✓ right`, `✗ wrong`, the score of a metric of degree, or a dash where nobody answered."""
    if score is None:
        return "–"
    if correct is None:
        return f"{score:.2f}"
    return "✓ right" if correct else "✗ wrong"
