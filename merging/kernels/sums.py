"""Float64 sums over whole tensors that depend neither on the chunks nor on the threads.

As in `merging.methods.sums` they are made of sums over rows of `ROW` elements, counted from the
tensor's start, which are then added exactly. Within a row element e belongs to lane e mod `LANES`,
and the lanes are added by halves; a chunk that ends within a row hands its lanes on to the next.
torch adds the elements of a row in another order, so the two differ by a rounding or two of
float64.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from merging.kernels.chunks import Chunk, Whole
from merging.kernels.compiled import MODELS, VECTOR, compiled, inlined
from merging.kernels.numbers import float64
from merging.kernels.weighted import BLOCK

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROW = 16384
# numbers that are summed side by side: additions to different lanes need not wait for each other
LANES = BLOCK


class RowSums:
    """Sums of several quantities at once, fed by chunks in order.

    Attributes:
        lanes: `[quantities, LANES]` float64, the row that is not finished.
        rows: the sums of finished rows, per quantity.
    """

    def __init__(self, quantities: int) -> None:
        self.lanes = np.zeros((quantities, LANES))
        self.rows: list[list[float]] = [[] for _ in range(quantities)]

    def room(self, chunk: Chunk) -> NDArray[np.float64]:
        """`[quantities, r]` for the sums of the r rows that the chunk finishes."""
        start = chunk.start
        finished = (start + chunk.n_elements) // ROW - start // ROW
        return np.empty((len(self.rows), finished))

    def add(self, finished: NDArray[np.float64]) -> None:
        """Take the sums that a kernel has filled into `room`."""
        for rows, more in zip(self.rows, finished, strict=True):
            rows.extend(more.tolist())

    def totals(self) -> list[float]:
        """The sum of every quantity."""
        return [
            math.fsum([*rows, row_sum(lanes.copy())])
            for rows, lanes in zip(self.rows, self.lanes, strict=True)
        ]


@inlined
def sum_of_lanes(lanes: Any) -> Any:
    """Halves are added to each other until one number is left; the lanes are lost."""
    width = LANES // 2
    while width:
        for i in range(width):
            lanes[i] += lanes[width + i]
        width //= 2
    return lanes[0]


@compiled("float64(float64[::1])")
def row_sum(lanes: NDArray[np.float64]) -> float:
    """See `sum_of_lanes`."""
    return float(sum_of_lanes(lanes))


@inlined
def add_products(x: Any, y: Any, position: Any, lanes: Any) -> None:
    """Add `x * y`, in float64, to the lanes of a row.

    Args:
        x: `[n]` float32, from no more than one block of the tensor.
        y: `[n]` float32.
        position: place of their first element in the tensor.
        lanes: `[LANES]` float64.
    """
    own = lanes[position % LANES : position % LANES + x.size]
    for i in range(x.size):
        own[i] += float64(x[i]) * float64(y[i])


@inlined
def add_values(x: Any, position: Any, lanes: Any) -> None:
    """Add `x`, in float64, to the lanes of a row; as `add_products` with ones, in less time."""
    own = lanes[position % LANES : position % LANES + x.size]
    for i in range(x.size):
        own[i] += float64(x[i])


@inlined
def finish_row(lanes: Any, sums: Any, row: Any) -> None:
    """Put the sums of all lanes into `sums[:, row]`, and begin anew."""
    for quantity in range(lanes.shape[0]):
        sums[quantity, row] = sum_of_lanes(lanes[quantity])
        lanes[quantity] = 0.0


@compiled(f"void({MODELS}, {VECTOR}, int64, float64[:, ::1], float64[:, ::1])")
def add_gram(
    models: NDArray[np.float32],
    base: NDArray[np.float32],
    start: int,
    lanes: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None:
    """Scalar products of all pairs of vectors, by rows; the vectors are task vectors with a base.

    Args:
        models: `[K, n]` float32.
        base: `[n]` float32, or empty.
        start: place of the first element in the tensor.
        lanes: `[K (K + 1) / 2, LANES]`, pairs (0, 0), (1, 0), (1, 1), (2, 0) and so on.
        sums: as many rows, filled; see `RowSums.room`.
    """
    n_models, n = models.shape
    space = np.empty((n_models, BLOCK), dtype=np.float32)
    position, row = start, 0
    while position < start + n:
        stop = min(position - position % BLOCK + BLOCK, start + n)
        first, last = position - start, stop - start
        for k in range(n_models):
            vector = space[k]
            model = models[k, first:last]
            if base.size:
                origin = base[first:last]
                for i in range(model.size):
                    vector[i] = model[i] - origin[i]
            else:
                for i in range(model.size):
                    vector[i] = model[i]
        pair = 0
        for i in range(n_models):
            for j in range(i + 1):
                add_products(
                    space[i, : last - first], space[j, : last - first], position, lanes[pair]
                )
                pair += 1
        if stop % ROW == 0:
            finish_row(lanes, sums, row)
            row += 1
        position = stop


def gram(whole: Whole) -> list[list[float]]:
    """Scalar products of a tensor's K vectors, K x K: task vectors with a base, else models."""
    size = whole.n_models
    sums = RowSums(size * (size + 1) // 2)
    for chunk in whole.chunks():
        room = sums.room(chunk)
        add_gram(chunk.models, chunk.origin, chunk.start, sums.lanes, room)
        sums.add(room)
    totals = sums.totals()
    return [
        [totals[max(i, j) * (max(i, j) + 1) // 2 + min(i, j)] for j in range(size)]
        for i in range(size)
    ]
