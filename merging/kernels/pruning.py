"""Dropping entries of task vectors by their rank within rows and by random numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from merging.kernels.compiled import MODELS, VECTOR, compiled, inlined
from merging.kernels.draws import fill_upper, lower, space_for
from merging.kernels.election import ELECTION, elect
from merging.kernels.numbers import int64, uint8, uint32
from merging.kernels.ranking import buckets_for, sorted_keys
from merging.kernels.sums import ROW, add_values, finish_row
from merging.kernels.weighted import BLOCK, add_to_sum, place, start_sum

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ZERO = np.float32(0.0)
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


def mask_bytes(row_length: int) -> int:
    """Bytes of a row's mask."""
    return (row_length + 7) // 8


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


@inlined
def pack(kept: Any, mask: Any) -> None:
    """A bit for each entry of a row that is not zero, the first one lowest."""
    for byte in range(kept.size // 8):
        bits = uint8(0)
        for bit in range(8):
            bits = uint8(bits | uint8(uint8(kept[8 * byte + bit] != _ZERO) << uint8(bit)))
        mask[byte] = bits
    for i in range(kept.size // 8 * 8, kept.size):
        if kept[i] != _ZERO:
            mask[i // 8] |= uint8(1 << (i % 8))


@inlined
def keep_packed(delta: Any, mask: Any, out: Any) -> None:
    """The entries of a row whose bit is set, and zero for the others."""
    for byte in range(delta.size // 8):
        bits = uint32(mask[byte])
        for bit in range(8):
            i = 8 * byte + bit
            out[i] = delta[i] if (bits >> uint32(bit)) & uint32(1) else _ZERO
    for i in range(delta.size // 8 * 8, delta.size):
        out[i] = delta[i] if (mask[i // 8] >> (i % 8)) & 1 else _ZERO


@compiled(
    f"void({MODELS}, {VECTOR}, uint64[::1], int64, int64[:, ::1], float32[:, ::1],"
    " uint8[:, ::1], float32[::1], float32[::1], float32[::1], boolean, float32,"
    f" {ELECTION})"
)
def prune_and_merge(
    models: NDArray[np.float32],
    base: NDArray[np.float32],
    keys: NDArray[np.uint64],
    first: int,
    limits: NDArray[np.int64],
    divisors: NDArray[np.float32],
    masks: NDArray[np.uint8],
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
        masks: where it is known already what is kept.
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
    n_bytes = (length + 7) // 8
    kept = np.empty((n_models, length), dtype=np.float32)
    delta = np.empty(length, dtype=np.float32)
    work = work_for(length)
    for start in range(0, out.size, length):
        stop = start + length
        origin, part = base[start:stop], out[start:stop]
        row = (first + start) // length
        for k in range(n_models):
            model, own = models[k, start:stop], kept[k]
            for i in range(length):
                delta[i] = model[i] - origin[i]
            if masks.shape[0]:
                keep_packed(delta, masks[k, row * n_bytes : (row + 1) * n_bytes], own)
            else:
                prune(delta, keys[k], first + start, limits[k], divisors[k], own, *work)
            if factors[k] != np.float32(1.0):
                start_sum(own, factors[k], own)
        if electing:
            elect(kept, votes, coefficients, counts, divide, part)
        else:
            start_sum(kept[0], weights[0], part)
            for k in range(1, n_models):
                add_to_sum(kept[k], weights[k], part)
        place(origin, scale, part)


@compiled(
    f"void({MODELS}, {VECTOR}, uint64[::1], int64, int64[:, ::1], uint8[:, ::1],"
    " float64[:, ::1], float64[:, ::1])"
)
def add_pruned_sizes(
    models: NDArray[np.float32],
    base: NDArray[np.float32],
    keys: NDArray[np.uint64],
    first: int,
    limits: NDArray[np.int64],
    masks: NDArray[np.uint8],
    lanes: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None:
    """Sums of the magnitudes of K task vectors, then of what is kept of them, and the masks.

    See `prune_and_merge` and `RowSums`.
    """
    n_models, length = limits.shape
    n_bytes = (length + 7) // 8
    sizes = np.empty((2 * n_models, length), dtype=np.float32)
    nothing = np.empty(0, dtype=np.float32)
    work = work_for(length)
    finished = 0
    for start in range(0, base.size, length):
        row = (first + start) // length
        for k in range(n_models):
            delta, own = sizes[k], sizes[n_models + k]
            for i in range(length):
                delta[i] = models[k, start + i] - base[start + i]
            prune(delta, keys[k], first + start, limits[k], nothing, own, *work)
            pack(own, masks[k, row * n_bytes : (row + 1) * n_bytes])
            for i in range(length):
                delta[i] = abs(delta[i])
                own[i] = abs(own[i])
        done = 0
        while done < length:
            position = first + start + done
            size = min(BLOCK - position % BLOCK, length - done)
            for quantity in range(2 * n_models):
                part = sizes[quantity, done : done + size]
                add_values(part, position, lanes[quantity])
            done += size
            if (position + size) % ROW == 0:
                finish_row(lanes, sums, finished)
                finished += 1
