"""chABSA's score, as the Japanese financial harness defines it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evaluation.metrics import macro_f1, macro_f1_error

ADJUSTMENT = 1.5  # three classes by two: neutral rows stay, and nobody can answer neutral


def adjusted_f1(items: Sequence[tuple[Any, Any]]) -> float:
    """Macro-F1 over positive, negative and neutral times 1.5; 1.0 is out of reach by design."""
    return ADJUSTMENT * macro_f1(items)


def adjusted_error(items: Sequence[tuple[Any, Any]]) -> float | None:
    """Bootstrap standard error of ``adjusted_f1``; None for fewer than two items."""
    error = macro_f1_error(items)
    return None if error is None else ADJUSTMENT * error


# ``evaluation.answers`` asks an aggregation for its error this way.
adjusted_f1.standard_error = adjusted_error  # type: ignore[attr-defined]
