"""Dropping entries of task vectors by their rank within rows and by random numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from merging.kernels.compiled import MODELS, VECTOR, compiled, inlined
from merging.kernels.draws import fill_upper, lower, space_for
from merging.kernels.election import ELECTION, elect
from merging.kernels.marking import mark, work_to_mark
from merging.kernels.masks import keep_marked, sizes_marked, words_in
from merging.kernels.numbers import int64, uint32
from merging.kernels.ranking import buckets_for, sorted_keys
from merging.kernels.rows import of_rows, single
from merging.kernels.sums import fold
from merging.kernels.weighted import BLOCK, add_to_sum, place, start_sum

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ZERO = np.float32(0.0)
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


@compiled(
    f"void({VECTOR}, uint64, int64, Array(int64, 1, 'C', readonly=True), {VECTOR},"
    " float32[::1], int32[::1], uint32[::1], uint64[::1], uint64[::1], uint32[::1],"
    " float32[::1])"
)
def prune(
    delta: NDArray[np.float32],
    key: int,
    first: int,
    limits: NDArray[np.int64],
    divisors: NDArray[np.float32],
    out: NDArray[np.float32],
    counts: NDArray[np.int32],
    buckets: NDArray[np.uint32],
    keys: NDArray[np.uint64],
    others: NDArray[np.uint64],
    space: NDArray[np.uint32],
    sizes: NDArray[np.float32],
) -> None:
    """What is kept of a row of a task vector.

    Args:
        delta: `[n]` float32.
        key: uint64 of the draws.
        first: place of the row in the tensor.
        limits: `[n]` int64 by rank: kept when the random number is below.
        divisors: `[n]` float32 by rank, or empty.
        out: `[n]` float32.
        counts: what `sorted_keys` works in, as the three after it.
        buckets: see there.
        keys: see there.
        others: see there.
        space: `[space_for(n)]` uint32, to work in.
        sizes: `[n]` float32, to work in.
    """
    n = delta.size
    found = sorted_keys(delta, counts, buckets, keys, others)
    # zeros have the lowest ranks; which of them has which does not matter
    zeros = n - found
    for i in range(found):
        sizes[i] = np.uint32(others[i] >> _HALF).view(np.float32)
    if divisors.size:
        for i in range(found):
            sizes[i] /= divisors[zeros + i]
    # back to their places without a condition, as a processor cannot guess what is kept
    out[:] = _ZERO
    limit_of = buckets
    limit_of[:] = uint32(0)
    for i in range(found):
        own = others[i] & _LOW
        out[own] = sizes[i]
        limit_of[own] = uint32(limits[zeros + i] >> 16)
    upper = fill_upper(key, first, space, n)
    equal = uint32(0)
    for i in range(n):
        equal |= uint32(upper[i] == limit_of[i])
        signed = math.copysign(out[i], delta[i])
        out[i] = signed if upper[i] < limit_of[i] else _ZERO
    if equal:
        for i in range(found):
            own, limit = others[i] & _LOW, limits[zeros + i]
            if upper[own] == limit >> 16 and lower(key, first + int64(own)) < (limit & 0xFFFF):
                out[own] = math.copysign(sizes[i], delta[own])


@inlined
def work_for(n: Any) -> tuple[Any, ...]:
    """The arrays that `prune` works in, from `counts` to `sizes`, for rows of n."""
    return (
        np.empty(buckets_for(n), dtype=np.int32),
        np.empty(n, dtype=np.uint32),
        np.empty(n, dtype=np.uint64),
        np.empty(n, dtype=np.uint64),
        np.empty(space_for(n), dtype=np.uint32),
        np.empty(n, dtype=np.float32),
    )


@of_rows(
    f"void({MODELS}, {VECTOR}, uint64[::1], int64, int64[:, ::1], float32[:, ::1],"
    " uint32[:, ::1], int64, float32[::1], float32[::1], float32[::1], boolean, float32,"
    f" {ELECTION})"
)
def prune_and_merge(
    models: NDArray[np.float32],
    base: NDArray[np.float32],
    keys: NDArray[np.uint64],
    first: int,
    limits: NDArray[np.int64],
    divisors: NDArray[np.float32],
    masks: NDArray[np.uint32],
    row: int,
    factors: NDArray[np.float32],
    out: NDArray[np.float32],
    weights: NDArray[np.float32],
    electing: bool,
    scale: float,
    votes: NDArray[np.float32],
    coefficients: NDArray[np.float32],
    counts: NDArray[np.float32],
    divide: bool,
) -> None:
    """All of DELLA, row by row.

    Args:
        models: `[K, n]` float32, whole rows.
        base: `[n]` float32.
        keys: `[K]` of the draws.
        first: place of the first element in the tensor.
        limits: see `della.Pruning`, as are divisors, masks and factors.
        divisors: where the entries are divided by their probabilities.
        masks: where they are not divided, `[K, words]`, a bit per entry, whole words per row.
        row: the place of the first row in the masks.
        factors: of what is kept.
        out: `[n]` float32.
        weights: `[K]`, for the sum.
        electing: whether to elect signs instead of adding up.
        scale: of the merged task vector.
        votes: see `Election`, as are the others.
        coefficients: see there.
        counts: see there.
        divide: see there.
    """
    n_models, length = limits.shape
    words = words_in(length)
    kept = np.empty((n_models, length), dtype=np.float32)
    delta = np.empty(length, dtype=np.float32)
    ranking = work_for(length)
    for start in range(0, out.size, length):
        stop = start + length
        origin, part = base[start:stop], out[start:stop]
        for k in range(n_models):
            model, own = models[k, start:stop], kept[k]
            if divisors.size:
                for i in range(length):
                    delta[i] = single(model, i) - single(origin, i)
                prune(delta, keys[k], first + start, limits[k], divisors[k], own, *ranking)
            else:
                keep_marked(model, origin, masks[k, row * words : (row + 1) * words], 0, own)
            if factors[k] != np.float32(1.0):
                start_sum(own, factors[k], own)
        if electing:
            elect(kept, votes, coefficients, counts, divide, part)
        else:
            start_sum(kept[0], weights[0], part)
            for k in range(1, n_models):
                add_to_sum(kept[k], weights[k], part)
        place(origin, scale, part)
        row += 1


@inlined
def append_sizes(sizes: Any, position: Any, last: Any, block: Any, lanes: Any) -> None:
    """Add the magnitudes of a row to the lanes, by blocks of the tensor.

    Args:
        sizes: `[n]` float32.
        position: place of the first one in the tensor.
        last: whether the tensor ends with them.
        block: `[BLOCK]` float32, the block that is not full.
        lanes: see `BlockSums`.
    """
    n, done = sizes.size, int64(0)
    while done < n:
        have = (position + done) % BLOCK
        size = min(BLOCK - have, n - done)
        if size == BLOCK:
            fold(sizes[done : done + BLOCK], lanes)
        else:
            # numba would allocate memory to assign a slice
            for i in range(size):
                block[have + i] = sizes[done + i]
            if have + size == BLOCK or (last and done + size == n):
                block[have + size :] = _ZERO
                fold(block, lanes)
        done += size


@of_rows(f"void({MODELS}, {VECTOR}, uint64[::1], int64, int64[:, ::1], uint32[:, ::1], int64)")
def mark_rows(
    models: NDArray[np.float32],
    base: NDArray[np.float32],
    keys: NDArray[np.uint64],
    first: int,
    limits: NDArray[np.int64],
    masks: NDArray[np.uint32],
    row: int,
) -> None:
    """Fill the masks from a row on; see `prune_and_merge`."""
    n_models, length = limits.shape
    words = words_in(length)
    delta = np.empty(length, dtype=np.float32)
    work = work_to_mark(length)
    for start in range(0, base.size, length):
        origin = base[start : start + length]
        for k in range(n_models):
            model = models[k, start : start + length]
            for i in range(length):
                delta[i] = single(model, i) - single(origin, i)
            bits = masks[k, row * words : (row + 1) * words]
            mark(delta, keys[k], first + start, limits[k], bits, *work)
        row += 1


@of_rows(
    f"void({MODELS}, {VECTOR}, int64, int64, int64, uint32[:, ::1], int64, float32[:, ::1],"
    " float64[:, ::1])"
)
def add_marked_sizes(
    models: NDArray[np.float32],
    base: NDArray[np.float32],
    length: int,
    first: int,
    end: int,
    masks: NDArray[np.uint32],
    row: int,
    blocks: NDArray[np.float32],
    lanes: NDArray[np.float64],
) -> None:
    """Sums of the magnitudes of K task vectors, then of what is kept of them.

    See `prune_and_merge`; `length` is that of a row, `end` the number of the tensor's elements, and
    the last two are those of `BlockSums`.
    """
    n_models = models.shape[0]
    words = words_in(length)
    delta, kept = np.empty(length, dtype=np.float32), np.empty(length, dtype=np.float32)
    for start in range(0, base.size, length):
        position = first + start
        last = position + length == end
        origin = base[start : start + length]
        for k in range(n_models):
            bits = masks[k, row * words : (row + 1) * words]
            sizes_marked(models[k, start : start + length], origin, bits, 0, delta, kept)
            append_sizes(delta, position, last, blocks[k], lanes[k])
            append_sizes(kept, position, last, blocks[n_models + k], lanes[n_models + k])
        row += 1
