"""Weighted sums of models or task vectors: the whole of the linear methods, the end of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from merging.kernels.chunks import Chunk
from merging.kernels.compiled import MODELS, VECTOR, inlined
from merging.kernels.numbers import float32
from merging.kernels.rows import of_rows, single

if TYPE_CHECKING:
    from numpy.typing import NDArray

# elements that the kernels work on at a time: a block of every model fits a core's first cache
BLOCK = 1024


def add_up(
    chunk: Chunk,
    factors: Sequence[float],
    *,
    scale: float = 1.0,
    divisor: float = 1.0,
) -> None:
    """Weighted sum of the task vectors on top of the base, or of the models without a base.

    `out = sum_i f_i v_i / divisor * scale + base`. Float64 factors are rounded to float32 before
    they meet float32 numbers, as torch does.
    """
    weighted_sum(chunk.models, chunk.origin, singles(factors), divisor, scale, chunk.out)


def singles(numbers: Sequence[float]) -> NDArray[np.float32]:
    """`[K]` float32."""
    return np.array(numbers, dtype=np.float32)


@inlined
def start_sum(vector: Any, factor: Any, out: Any) -> None:
    """`out = vector * factor`, all float32."""
    for i in range(out.size):
        out[i] = single(vector, i) * factor


@inlined
def add_to_sum(vector: Any, factor: Any, out: Any) -> None:
    """`out += vector * factor`, rounded after either operation."""
    for i in range(out.size):
        out[i] += single(vector, i) * factor


@inlined
def place(base: Any, scale: Any, out: Any) -> None:
    """`out = out * scale + base`, rounded after either operation."""
    for i in range(out.size):
        out[i] = out[i] * scale + single(base, i)


@inlined
def _add_delta(model: Any, base: Any, factor: Any, first: Any, out: Any) -> None:
    """`out = (model - base) * factor`, or that added to it."""
    if first:
        for i in range(out.size):
            out[i] = (single(model, i) - single(base, i)) * factor
    else:
        for i in range(out.size):
            out[i] += (single(model, i) - single(base, i)) * factor


@of_rows(f"void({MODELS}, {VECTOR}, {VECTOR}, float32, float32, float32[::1])")
def weighted_sum(
    models: NDArray[np.float32],
    base: NDArray[np.float32],
    factors: NDArray[np.float32],
    divisor: float,
    scale: float,
    out: NDArray[np.float32],
) -> None:
    """See `add_up`; `base` is empty when there is none."""
    for start in range(0, out.size, BLOCK):
        stop = min(start + BLOCK, out.size)
        part = out[start:stop]
        if base.size:
            origin = base[start:stop]
            for k in range(models.shape[0]):
                _add_delta(models[k, start:stop], origin, factors[k], k == 0, part)
        else:
            start_sum(models[0, start:stop], factors[0], part)
            for k in range(1, models.shape[0]):
                add_to_sum(models[k, start:stop], factors[k], part)
        if divisor != float32(1.0):
            for i in range(part.size):
                part[i] /= divisor
        if base.size:
            place(base[start:stop], scale, part)
        elif scale != float32(1.0):
            for i in range(part.size):
                part[i] *= scale
