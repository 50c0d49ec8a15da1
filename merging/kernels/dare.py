"""DARE: drop random entries of each task vector, rescale the rest, then add up or elect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from merging.kernels.chunks import Chunk, Kernel, Whole
from merging.kernels.compiled import MODELS, VECTOR, compiled
from merging.kernels.draws import fill_upper, lower, space_for, threshold
from merging.kernels.election import ELECTION, elect, election
from merging.kernels.numbers import uint16, uint32
from merging.kernels.sums import ROW, RowSums, add_values, finish_row
from merging.kernels.weighted import BLOCK, add_to_sum, place, singles, start_sum
from merging.methods.per_model import each
from merging.methods.sums import divided

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ZERO = np.float32(0.0)
_DRAWS = "uint64[::1], int64[::1], int64"


def factors(
    whole: Whole, *, density: float | Sequence[float], rescale: str, **_: Any
) -> list[float]:
    """For each expert the factor of what is kept."""
    shares = each(density, whole.n_models)
    if rescale == "1/d":
        return [1 / share for share in shares]
    if rescale == "none":
        return [1.0] * whole.n_models
    sums = RowSums(2 * whole.n_models)
    for chunk in whole.chunks():
        room = sums.room(chunk)
        add_sizes(chunk.models, chunk.origin, *_draws(chunk, shares), sums.lanes, room)
        sums.add(room)
    totals = sums.totals()
    pairs = zip(totals[: whole.n_models], totals[whole.n_models :], strict=True)
    return [before / after if after > 0 else 1.0 for before, after in pairs]


def dare_linear(
    chunk: Chunk,
    statistics: Sequence[float],
    *,
    density: float | Sequence[float],
    scale: float,
    normalize: bool,
    **_: Any,
) -> None:
    """`merging.methods.dare.dare_linear`."""
    shares = each(density, len(chunk.weights))
    weights = divided(chunk.weights, normalize=normalize)
    products = [weight * factor for weight, factor in zip(weights, statistics, strict=True)]
    drop_and_add(
        chunk.models, chunk.origin, *_draws(chunk, shares), singles(products), scale, chunk.out
    )


def dare_ties(
    chunk: Chunk,
    statistics: Sequence[float],
    *,
    density: float | Sequence[float],
    scale: float,
    election_weights: bool,
    normalize: bool,
    **_: Any,
) -> None:
    """`merging.methods.dare.dare_ties`."""
    shares = each(density, len(chunk.weights))
    how = election(chunk.weights, election_weights=election_weights, normalize=normalize)
    # a factor that all share is applied afterwards: changes that cancel exactly still do then
    shared = len(set(statistics)) == 1
    common = statistics[0] if shared else 1.0
    own = singles([1.0] * len(statistics) if shared else statistics)
    drop_and_elect(
        chunk.models,
        chunk.origin,
        *_draws(chunk, shares),
        own,
        common * scale,
        chunk.out,
        *how.arrays(),
    )


def _draws(
    chunk: Chunk, shares: Sequence[float]
) -> tuple[NDArray[np.uint64], NDArray[np.int64], int]:
    """Keys, thresholds of the random numbers, and the place of the first one."""
    keys = np.array(chunk.keys, dtype=np.uint64)
    return keys, np.array([threshold(share) for share in shares], dtype=np.int64), chunk.start


@compiled(f"void({VECTOR}, {VECTOR}, uint64, int64, int64, uint32[::1], float32[::1])")
def keep_random(
    model: NDArray[np.float32],
    base: NDArray[np.float32],
    key: int,
    limit: int,
    start: int,
    space: NDArray[np.uint32],
    out: NDArray[np.float32],
) -> None:
    """The task vector with zero for what is dropped.

    Args:
        model: `[n]` float32.
        base: `[n]` float32.
        key: uint64 of the draws.
        limit: int64, an element is kept when its number is below.
        start: place of the first element in the tensor.
        space: uint32, `space_for(n)`.
        out: at least n float32.
    """
    n = base.size
    upper = fill_upper(key, start, space, n)
    below = uint32(limit >> 16)
    for i in range(n):
        out[i] = model[i] - base[i] if upper[i] < below else _ZERO
    if below < 65536:
        # 16 bits wide, as the numbers are: zero where one is equal
        nearest = uint16(0xFFFF)
        for i in range(n):
            nearest = min(nearest, uint16(upper[i] ^ uint16(below)))
        if nearest == 0:
            for i in range(n):
                if upper[i] == below and lower(key, start + i) < (limit & 0xFFFF):
                    out[i] = model[i] - base[i]


@compiled(f"void({MODELS}, {VECTOR}, {_DRAWS}, float32[::1], float32, float32[::1])")
def drop_and_add(
    models: NDArray[np.float32],
    base: NDArray[np.float32],
    keys: NDArray[np.uint64],
    limits: NDArray[np.int64],
    first: int,
    factors: NDArray[np.float32],
    scale: float,
    out: NDArray[np.float32],
) -> None:
    """All of DARE linear, block by block."""
    kept = np.empty(BLOCK, dtype=np.float32)
    space = np.empty(space_for(BLOCK), dtype=np.uint32)
    for start in range(0, out.size, BLOCK):
        stop = min(start + BLOCK, out.size)
        origin, part = base[start:stop], out[start:stop]
        for k in range(models.shape[0]):
            keep_random(
                models[k, start:stop], origin, keys[k], limits[k], first + start, space, kept
            )
            if k == 0:
                start_sum(kept, factors[k], part)
            else:
                add_to_sum(kept, factors[k], part)
        place(origin, scale, part)


@compiled(f"void({MODELS}, {VECTOR}, {_DRAWS}, float32[::1], float32, float32[::1], {ELECTION})")
def drop_and_elect(
    models: NDArray[np.float32],
    base: NDArray[np.float32],
    keys: NDArray[np.uint64],
    limits: NDArray[np.int64],
    first: int,
    factors: NDArray[np.float32],
    scale: float,
    out: NDArray[np.float32],
    votes: NDArray[np.float32],
    coefficients: NDArray[np.float32],
    counts: NDArray[np.float32],
    divide: bool,
) -> None:
    """All of DARE-TIES, block by block."""
    kept = np.empty((models.shape[0], BLOCK), dtype=np.float32)
    space = np.empty(space_for(BLOCK), dtype=np.uint32)
    for start in range(0, out.size, BLOCK):
        stop = min(start + BLOCK, out.size)
        origin, part = base[start:stop], out[start:stop]
        for k in range(models.shape[0]):
            row = kept[k]
            keep_random(
                models[k, start:stop], origin, keys[k], limits[k], first + start, space, row
            )
            if factors[k] != np.float32(1.0):
                start_sum(row[: part.size], factors[k], row[: part.size])
        elect(kept, votes, coefficients, counts, divide, part)
        place(origin, scale, part)


@compiled(f"void({MODELS}, {VECTOR}, {_DRAWS}, float64[:, ::1], float64[:, ::1])")
def add_sizes(
    models: NDArray[np.float32],
    base: NDArray[np.float32],
    keys: NDArray[np.uint64],
    limits: NDArray[np.int64],
    first: int,
    lanes: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None:
    """Sums of the magnitudes of all K task vectors, then of what is kept of them; see `RowSums`."""
    n_models, n = models.shape
    delta, kept = np.empty(BLOCK, dtype=np.float32), np.empty(BLOCK, dtype=np.float32)
    space = np.empty(space_for(BLOCK), dtype=np.uint32)
    position, row = first, 0
    while position < first + n:
        stop = min(position - position % BLOCK + BLOCK, first + n)
        size = stop - position
        origin = base[position - first : stop - first]
        for k in range(n_models):
            model = models[k, position - first : stop - first]
            for i in range(size):
                delta[i] = abs(model[i] - origin[i])
            keep_random(model, origin, keys[k], limits[k], position, space, kept)
            for i in range(size):
                kept[i] = abs(kept[i])
            add_values(delta[:size], position, lanes[k])
            add_values(kept[:size], position, lanes[n_models + k])
        if stop % ROW == 0:
            finish_row(lanes, sums, row)
            row += 1
        position = stop


KERNELS = {
    "dare_linear": Kernel(dare_linear, factors),
    "dare_ties": Kernel(dare_ties, factors),
}
