"""Sums over whole tensors that depend neither on the chunks nor on the threads.

A tensor is cut into blocks of `BLOCK` elements, counted from its start; the last one is filled up
with zeros. Within a block every `LANES`-th element is added up, and the sums of the blocks are
added in float64. Magnitudes are added in float32 within a block, by halves, as
`merging.methods.sums.total_magnitude` says; products are taken and added in float64, of which torch
adds the parts in another order, so the two differ by a rounding or two of float64.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from merging.kernels.chunks import Whole
from merging.kernels.compiled import MODELS, VECTOR, Part, inlined
from merging.kernels.numbers import float64
from merging.kernels.rows import of_rows, single
from merging.kernels.weighted import BLOCK

if TYPE_CHECKING:
    from numpy.typing import NDArray

# numbers that are summed side by side, a sixteenth of a block
LANES = 64
_ZERO = np.float32(0.0)
# (float32 x, int64 place, float32 y, int64 place, float64 lanes, int64 row), with places in memory,
# of arrays of any shape: adds a block's x y to a row; adds x x, x y and y y to three rows
add_product: Any = Part(lambda: import_module("merging.kernels.products").add_product)
add_products_of_two: Any = Part(
    lambda: import_module("merging.kernels.products").add_products_of_two
)


@inlined
def _add_pairs(vectors: Any, place: Any, lanes: Any) -> None:
    """Add the products of all pairs of blocks that begin at a place of `[K, n]` vectors."""
    n = vectors.shape[1]
    if vectors.shape[0] == 2:
        add_products_of_two(vectors, place, vectors, n + place, lanes, 0)
    else:
        row = 0
        for i in range(vectors.shape[0]):
            for j in range(i + 1):
                add_product(vectors, n * i + place, vectors, n * j + place, lanes, row)
                row += 1


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


@of_rows(f"void({MODELS}, {VECTOR}, int64, int64, float32[:, ::1], float64[:, ::1])")
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
        start = position - first
        if size == BLOCK and not base.size:
            _add_pairs(models, start, lanes)
            position = stop
            continue
        for k in range(n_models):
            vector = space[k, place : place + size]
            model = models[k, start : start + size]
            if base.size:
                origin = base[start : start + size]
                for i in range(size):
                    vector[i] = single(model, i) - single(origin, i)
            else:
                for i in range(size):
                    vector[i] = single(model, i)
        if stop % BLOCK == 0 or stop == end:
            space[:, place + size :] = _ZERO
            _add_pairs(space, 0, lanes)
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
