"""Sums over whole tensors that depend neither on the chunks nor on the threads.

A tensor is cut into blocks of `BLOCK` elements, counted from its start; the last one is filled up
with zeros. Within a block every `LANES`-th element is added up, by halves, and the sums of the
blocks are added in float64. Magnitudes are added in float32 within a block, as
`merging.methods.sums.total_magnitude` says; products are taken and added in float64, of which torch
adds the parts in another order, so the two differ by a rounding or two of float64.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from merging.kernels.chunks import Whole
from merging.kernels.compiled import MODELS, VECTOR, compiled, inlined
from merging.kernels.numbers import float64
from merging.kernels.weighted import BLOCK

if TYPE_CHECKING:
    from numpy.typing import NDArray

# numbers that are summed side by side, a sixteenth of a block
LANES = 64
_ZERO = np.float32(0.0)


class BlockSums:
    """Sums of several quantities at once, fed by chunks in order.

    Attributes:
        space: `[vectors, BLOCK]` float32, what the sums are made of, of the present block.
        lanes: `[quantities, LANES]` float64.
    """

    def __init__(self, vectors: int, quantities: int) -> None:
        self.space: NDArray[np.float32] = np.zeros((vectors, BLOCK), dtype=np.float32)
        self.lanes = np.zeros((quantities, LANES))

    def totals(self) -> list[float]:
        """The sum of every quantity."""
        return [math.fsum(lanes) for lanes in self.lanes.tolist()]


@inlined
def fold(x: Any, lanes: Any) -> None:
    """Add the sums of a block `[BLOCK]` float32 to the lanes; no parts are kept in memory."""
    for i in range(LANES):
        even = ((x[i] + x[512 + i]) + (x[256 + i] + x[768 + i])) + (
            (x[128 + i] + x[640 + i]) + (x[384 + i] + x[896 + i])
        )
        odd = ((x[64 + i] + x[576 + i]) + (x[320 + i] + x[832 + i])) + (
            (x[192 + i] + x[704 + i]) + (x[448 + i] + x[960 + i])
        )
        lanes[i] += float64(even + odd)


@inlined
def _product(x: Any, y: Any, i: Any) -> Any:
    return float64(x[i]) * float64(y[i])


@inlined
def fold_products(x: Any, y: Any, lanes: Any) -> None:
    """As `fold`, of the products of two blocks in float64."""
    for i in range(LANES):
        one = (_product(x, y, i) + _product(x, y, 512 + i)) + (
            _product(x, y, 256 + i) + _product(x, y, 768 + i)
        )
        two = (_product(x, y, 128 + i) + _product(x, y, 640 + i)) + (
            _product(x, y, 384 + i) + _product(x, y, 896 + i)
        )
        three = (_product(x, y, 64 + i) + _product(x, y, 576 + i)) + (
            _product(x, y, 320 + i) + _product(x, y, 832 + i)
        )
        four = (_product(x, y, 192 + i) + _product(x, y, 704 + i)) + (
            _product(x, y, 448 + i) + _product(x, y, 960 + i)
        )
        lanes[i] += (one + two) + (three + four)


@compiled(f"void({MODELS}, {VECTOR}, int64, int64, float32[:, ::1], float64[:, ::1])")
def add_gram(
    models: NDArray[np.float32],
    base: NDArray[np.float32],
    first: int,
    end: int,
    space: NDArray[np.float32],
    lanes: NDArray[np.float64],
) -> None:
    """Scalar products of all pairs of vectors; the vectors are task vectors with a base.

    Args:
        models: `[K, n]` float32.
        base: `[n]` float32, or empty.
        first: place of the first element in the tensor.
        end: elements of the tensor.
        space: `[K, BLOCK]`, see `BlockSums`.
        lanes: `[K (K + 1) / 2, LANES]`, pairs (0, 0), (1, 0), (1, 1), (2, 0) and so on.
    """
    n_models, n = models.shape
    position = first
    while position < first + n:
        stop = min(position - position % BLOCK + BLOCK, first + n)
        place, size = position % BLOCK, stop - position
        for k in range(n_models):
            vector = space[k, place : place + size]
            model = models[k, position - first : stop - first]
            if base.size:
                origin = base[position - first : stop - first]
                for i in range(size):
                    vector[i] = model[i] - origin[i]
            else:
                for i in range(size):
                    vector[i] = model[i]
        if stop % BLOCK == 0 or stop == end:
            space[:, place + size :] = _ZERO
            pair = 0
            for i in range(n_models):
                for j in range(i + 1):
                    fold_products(space[i], space[j], lanes[pair])
                    pair += 1
        position = stop


def gram(whole: Whole) -> list[list[float]]:
    """Scalar products of a tensor's K vectors, K x K: task vectors with a base, else models."""
    size = whole.n_models
    sums = BlockSums(size, size * (size + 1) // 2)
    for chunk in whole.chunks():
        add_gram(chunk.models, chunk.origin, chunk.start, whole.n_elements, sums.space, sums.lanes)
    totals = sums.totals()
    return [
        [totals[max(i, j) * (max(i, j) + 1) // 2 + min(i, j)] for j in range(size)]
        for i in range(size)
    ]
