"""Angles between whole tensors, from their scalar products."""

from __future__ import annotations

import math
from collections.abc import Sequence


def cosine_of(products: Sequence[Sequence[float]], i: int, j: int, *, of_zero: float) -> float:
    """Cosine of the angle between tensors i and j; `of_zero` when one of them is zero."""
    norms = math.sqrt(products[i][i]) * math.sqrt(products[j][j])
    return max(-1.0, min(1.0, products[i][j] / norms)) if norms > 0 else of_zero


def arc(cosine: float, t: float) -> tuple[float, float]:
    """The factors of two tensors for the point at t (0 to 1) on the arc between them."""
    angle = math.acos(cosine)
    return math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)
