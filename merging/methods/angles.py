"""Angles between tensors, or between their rows, from their scalar products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# below this a sine, a step, or the length of a mean of unit vectors is taken for zero
NEARLY_ZERO = 1e-8


def cosine_of(products: Sequence[Sequence[float]], i: int, j: int, *, of_zero: float) -> float:
    """Cosine of the angle between tensors i and j; `of_zero` when one of them is zero."""
    norms = math.sqrt(products[i][i]) * math.sqrt(products[j][j])
    return max(-1.0, min(1.0, products[i][j] / norms)) if norms > 0 else of_zero


def arc(cosine: float, t: float) -> tuple[float, float]:
    """The factors of two tensors for the point at t (0 to 1) on the arc between them."""
    angle = math.acos(cosine)
    return math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)


def products_of(x: Tensor, y: Tensor, dim: int) -> Tensor:
    """`[3, vectors]` float64: x . x, y . y and x . y along one dimension of `[rows, columns]`."""
    import torch

    x, y = x.double(), y.double()
    return torch.stack([(x * x).sum(dim=dim), (y * y).sum(dim=dim), (x * y).sum(dim=dim)])


def cosines_of(products: Tensor, *, of_zero: float) -> Tensor:
    """`[vectors]` float64: the cosines, from `products_of`; `of_zero` beside a zero vector."""
    norms = products[0].sqrt() * products[1].sqrt()
    cosines = (products[2] / norms.masked_fill(norms == 0, 1.0)).clamp(-1, 1)
    return cosines.masked_fill(norms == 0, of_zero)
