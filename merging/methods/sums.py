"""Sums of tensors, and sums over whole tensors that depend neither on chunk size nor threads."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# below torch's grain size a reduction runs in one thread, so its order of summing is fixed
ROW = 16384
# magnitudes that are added up in float32
FOLDED = 1024


def partial_sums(values: Tensor) -> list[float]:
    """Float64 sums of consecutive rows of `ROW` elements of `values` `[n]` float64."""
    full = values.numel() // ROW * ROW
    sums: list[float] = values[:full].view(-1, ROW).sum(dim=1).tolist() if full else []
    if full < values.numel():
        sums.append(float(values[full:].sum()))
    return sums


def total(blocks: Iterable[Tensor]) -> float:
    """Sum of all elements of the blocks (each `[n]`, any float), in float64."""
    return math.fsum(part for block in blocks for part in partial_sums(block.double()))


def total_magnitude(blocks: Iterable[Tensor]) -> float:
    """Sum of the magnitudes of all elements of the blocks, each `[n]` float32, in float64.

    Of `FOLDED` consecutive elements every 64th is added up in float32, by halves, so that the order
    is the same on every device and in the kernels; what that gives is added in float64. Rounding
    takes about 1e-9 of the sum.
    """
    import torch

    parts: list[float] = []
    rest = None
    for block in blocks:
        sizes = block.abs() if rest is None else torch.cat((rest, block.abs()))
        full = sizes.numel() // FOLDED * FOLDED
        parts += partial_sums(_folded(sizes[:full]).double())
        rest = sizes[full:]
    if rest is not None and rest.numel():
        last = torch.nn.functional.pad(rest, (0, FOLDED - rest.numel()))
        parts += partial_sums(_folded(last).double())
    return math.fsum(parts)


def _folded(sizes: Tensor) -> Tensor:
    """`[n / 16]`: sums of the 64 lanes of every `FOLDED` elements of `sizes` `[n]`."""
    lanes = sizes.view(-1, 16, FOLDED // 16)
    for half in (8, 4, 2, 1):
        lanes = lanes[:, :half] + lanes[:, half:]
    return lanes.flatten()


def gram(blocks: Iterable[Sequence[Tensor]]) -> list[list[float]]:
    """Scalar products of K tensors given block by block, in float64 and in one pass.

    Returns:
        K x K: x_i . x_j.
    """
    sums: dict[tuple[int, int], list[float]] = {}
    for block in blocks:
        wide = [values.double() for values in block]
        for i, x in enumerate(wide):
            for j, y in enumerate(wide[: i + 1]):
                sums.setdefault((i, j), []).extend(partial_sums(x * y))
    products = {pair: math.fsum(parts) for pair, parts in sums.items()}
    size = 1 + max((i for i, _ in products), default=-1)
    return [[products[max(i, j), min(i, j)] for j in range(size)] for i in range(size)]


def divided(weights: Sequence[float], *, normalize: bool) -> list[float]:
    """The weights, divided by their sum when `normalize` is on and it is not (nearly) zero."""
    total = sum(weights) if normalize else 1.0
    return [weight / total for weight in weights] if abs(total) >= 1e-8 else list(weights)


def weighted(tensors: Sequence[Tensor], factors: Sequence[float]) -> Tensor:
    """`[n]` float32: the sum of the tensors, each times its factor, in their order."""
    result = tensors[0] * factors[0]
    for tensor, factor in zip(tensors[1:], factors[1:], strict=True):
        result += tensor * factor
    return result
