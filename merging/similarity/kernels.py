"""The sums behind every measure, for one chunk of one tensor of all models.

Everything is added up in float64 over blocks of 16,384 elements that begin at fixed places of the
tensor, so that neither the size of the chunks nor the number of threads changes a bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])

BLOCK = 1 << 14
# a piece that stays in the first-level cache while every pair of models is multiplied
TILE = 1 << 10
# The order of addition is the compiler's, and the same every time. NaN and infinity stay what they
# are, or a damaged tensor would go unseen.
FAST = {"reassoc", "contract", "nsz"}


def width(n_others: int, *, signs: bool) -> int:
    """How many sums there are for a reference and `n_others` models: see `add_chunk`."""
    pairs = n_others * (n_others - 1) // 2
    return 1 + 2 * n_others + (4 if signs else 1) * pairs


def _compiled(function: Function) -> Function:
    """Compile at the first call; the machine code is kept where a folder can be written."""
    options = {"nogil": True, "error_model": "numpy", "fastmath": FAST}
    try:
        kernel: Function = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        kernel = numba.njit(**options)(function)
    return kernel


@_compiled
def _subtract(
    model: NDArray[np.float32],
    reference: NDArray[np.float32],
    delta: NDArray[np.float64],
    sign: NDArray[np.float32],
) -> None:
    """The difference in float32, as a merge computes it, widened; and its sign."""
    for i in range(model.size):
        delta[i] = model[i] - reference[i]
    for i in range(model.size):
        value = model[i] - reference[i]
        sign[i] = np.float32(1) if value > 0 else (np.float32(-1) if value < 0 else np.float32(0))


@_compiled
def _dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@_compiled
def _dots(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, float]:
    """The sum of the products, and that of their magnitudes."""
    total = 0.0
    magnitude = 0.0
    for i in range(a.size):
        product = a[i] * b[i]
        total += product
        magnitude += abs(product)
    return total, magnitude


@_compiled
def _agreement(a: NDArray[np.float32], b: NDArray[np.float32]) -> tuple[np.float32, np.float32]:
    """Of signs: agreeing minus disagreeing entries, and entries where neither is zero.

    Whole numbers below 2^24, so that float32 counts them exactly.
    """
    total = np.float32(0)
    both = np.float32(0)
    for i in range(a.size):
        product = a[i] * b[i]
        total += product
        both += abs(product)
    return total, both


@_compiled
def add_chunk(values: NDArray[np.float32], n: int, signs: bool, out: NDArray[np.float64]) -> None:
    """Add one chunk up, block by block.

    With c the reference (row 0) and d_i = row_i - c, a block's sums are, in this order: c.c; then
    for each i: d_i.d_i, c.d_i, and for each j > i: d_i.d_j and, with `signs`, sum |d_i d_j|,
    (agreeing - disagreeing signs), (entries where both are non-zero).

    Args:
        values: `[1 + models, at least n]`, float32.
        n: elements in the chunk; it begins at a multiple of BLOCK of the tensor.
        signs: whether the differences are task vectors, whose signs matter.
        out: float64 zeros, `[blocks, width]`.
    """
    others = values.shape[0] - 1
    delta = np.empty((others + 1, TILE), np.float64)
    sign = np.empty((others, TILE), np.float32)
    for first in range(0, n, TILE):
        last = min(first + TILE, n)
        size = last - first
        sums = out[first // BLOCK]
        reference = values[0, first:last]
        c = delta[others, :size]
        c[:] = reference
        for i in range(others):
            _subtract(values[i + 1, first:last], reference, delta[i, :size], sign[i, :size])
        sums[0] += _dot(c, c)
        at = 1
        for i in range(others):
            d = delta[i, :size]
            sums[at] += _dot(d, d)
            sums[at + 1] += _dot(c, d)
            at += 2
            for j in range(i + 1, others):
                if signs:
                    total, magnitude = _dots(d, delta[j, :size])
                    agreeing, both = _agreement(sign[i, :size], sign[j, :size])
                    sums[at] += total
                    sums[at + 1] += magnitude
                    sums[at + 2] += agreeing
                    sums[at + 3] += both
                    at += 4
                else:
                    sums[at] += _dot(d, delta[j, :size])
                    at += 1
