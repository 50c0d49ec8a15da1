"""Which entries of a row DELLA keeps, mostly without putting them in order.

Magnitudes are dealt into buckets by their exponent and the first bits of their mantissa. A bucket's
members share a range of ranks, so of keep-probabilities: a random number below all of these keeps
an entry, one above all drops it. Where it lies among them, one entry in fifty, say, the rank
decides. It is where the bucket begins and how many members were met before, if all have the same
magnitude; otherwise smaller magnitudes are counted, and where that is needed often, the row is
sorted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from merging.kernels.compiled import VECTOR, compiled, inlined
from merging.kernels.draws import fill_upper, lower, space_for
from merging.kernels.masks import WORD, append_places, bits_above, decide
from merging.kernels.numbers import int32, int64, uint32, uint64
from merging.kernels.ranking import buckets_for, sorted_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAGNITUDE = np.int32(0x7FFFFFFF)
_LOW = np.uint64(0xFFFFFFFF)
MANTISSA = 23
# powers of two below a row's largest magnitude that have buckets of their own; the first of these
# buckets also has whatever is smaller
OCTAVES = 16
# zeros take turns in as many buckets, as counting in one and the same has to wait for itself
ZEROS = WORD
# entries from which on the differences of bfloat16 numbers mostly have buckets of their own
LONG = 512
# ranks found by counting from which on sorting is quicker
COUNTED = 64
# room for whole words behind the last entry
SLACK = 2 * WORD
# of `mark`'s arrays
WORK = (
    "int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], uint32[::1], int32[::1],"
    " uint8[::1], int32[::1], uint32[::1], int32[::1], int32[::1], uint32[::1]"
)


@inlined
def bits_for(length: Any) -> Any:
    """How many bits of the mantissa tell buckets apart in a row of this length."""
    return 8 if length >= LONG else 4


@inlined
def work_to_mark(length: Any) -> tuple[Any, ...]:
    """The arrays that `mark` works in, from `sizes` on, for rows of this length."""
    buckets = ZEROS + (OCTAVES << bits_for(length))
    return (
        np.empty(length, dtype=np.int32),
        np.zeros(length + SLACK, dtype=np.int32),
        np.empty(length, dtype=np.int32),
        np.empty(length, dtype=np.int32),
        np.zeros(buckets, dtype=np.int32),
        np.empty(buckets, dtype=np.uint32),
        np.empty(buckets, dtype=np.int32),
        np.empty(buckets, dtype=np.uint8),
        np.empty(buckets + SLACK, dtype=np.int32),
        np.zeros(length + SLACK, dtype=np.uint32),
        np.empty(length + SLACK, dtype=np.int32),
        np.empty(length, dtype=np.int32),
        np.empty(space_for(length + SLACK), dtype=np.uint32),
    )


@compiled(f"void({VECTOR}, int32[::1])")
def rank_all(delta: NDArray[np.float32], ranks: NDArray[np.int32]) -> None:
    """The ranks of all entries of a row that are not zero."""
    n = delta.size
    keys, others = np.empty(n, dtype=np.uint64), np.empty(n, dtype=np.uint64)
    counts = np.empty(buckets_for(n), dtype=np.int32)
    found = sorted_keys(delta, counts, np.empty(n, dtype=np.uint32), keys, others)
    for i in range(found):
        ranks[others[i] & _LOW] = int32(n - found + i)


@inlined
def rank_of(sizes: Any, place: Any) -> Any:
    """The rank of one entry by counting: those that are smaller, or equal and before it."""
    own, rank = sizes[place], int32(0)
    for i in range(sizes.size):
        rank = int32(rank + int32(sizes[i] < own))
    for i in range(place):
        rank = int32(rank + int32(sizes[i] == own))
    return rank


@compiled(
    f"void({VECTOR}, uint64, int64, Array(int64, 1, 'C', readonly=True), uint32[::1], {WORK})"
)
def mark(
    delta: NDArray[np.float32],
    key: int,
    first: int,
    limits: NDArray[np.int64],
    bits: NDArray[np.uint32],
    sizes: NDArray[np.int32],
    rest: NDArray[np.int32],
    bucket_of: NDArray[np.int32],
    within: NDArray[np.int32],
    counts: NDArray[np.int32],
    ends: NDArray[np.uint32],
    begins: NDArray[np.int32],
    mixed: NDArray[np.uint8],
    filled: NDArray[np.int32],
    ends_of: NDArray[np.uint32],
    unsure: NDArray[np.int32],
    ranks: NDArray[np.int32],
    space: NDArray[np.uint32],
) -> None:
    """A bit for each entry of a row that is kept; those of entries that are zero mean nothing.

    Args:
        delta: `[n]` float32.
        key: uint64 of the draws.
        first: place of the row in the tensor.
        limits: `[n]` int64 by rank, never falling: kept when the random number is below.
        bits: `[words_for(n)]`, filled.
        sizes: `[n]`, to work in, as all that follow: the bits of the magnitudes.
        rest: `[n + SLACK]`, zero at the end: those of them that do not decide the bucket.
        bucket_of: `[n]`.
        within: `[n]`, how many members of its bucket come before an entry.
        counts: members by bucket; zero, before and afterwards.
        ends: by bucket, the upper half of its lowest limit, and above it that of its highest.
        begins: by bucket, the lowest rank.
        mixed: by bucket, whether the magnitudes may differ.
        filled: buckets that are not empty.
        ends_of: `[n + SLACK]`, zero at the end: `ends` of each entry's bucket.
        unsure: `[n + SLACK]`, places whose rank matters.
        ranks: `[n]`, when all are needed.
        space: `[space_for(n + SLACK)]`.
    """
    n = delta.size
    raw = delta.view(np.int32)
    largest = int32(0)
    for i in range(n):
        sizes[i] = raw[i] & _MAGNITUDE
        largest = max(largest, sizes[i])
    shift = int32(MANTISSA - bits_for(n))
    low = int32((int32(1) << shift) - int32(1))
    below = int32((largest >> shift) - int32(counts.size - ZEROS - 1))
    for i in range(n):
        size = sizes[i]
        bucket = int32(max(int32((size >> shift) - below), int32(0)) + int32(ZEROS))
        bucket_of[i] = bucket if size > int32(0) else int32(int32(i) & int32(ZEROS - 1))
        rest[i] = size & low
    for i in range(n):
        # indices without a sign, for which numba need not ask whether they count from the end
        bucket = uint64(uint32(bucket_of[i]))
        before = counts[bucket]
        within[i] = before
        counts[bucket] = int32(before + int32(1))
    found = int64(0)
    for place in range(0, counts.size, WORD):
        found += append_places(bits_above(counts, place, int32(0)), place, filled, found)
    begin = int64(0)
    for number in range(found):
        bucket = uint64(uint32(filled[number]))
        stop = begin + counts[bucket]
        lowest = min(limits[uint64(begin)] >> 16, 0xFFFF)
        highest = min(limits[uint64(stop - 1)] >> 16, 0xFFFF)
        # for zeros from 1 to 0: no number lies there
        ends[bucket] = uint32(lowest | (highest << 16)) if bucket >= ZEROS else uint32(1)
        begins[bucket] = int32(begin)
        mixed[bucket] = bucket == ZEROS
        counts[bucket] = int32(0)
        begin = stop
    found = int64(0)
    for word in range(bits.size):
        found += append_places(bits_above(rest, WORD * word, int32(0)), WORD * word, unsure, found)
    for number in range(found):
        mixed[uint64(uint32(bucket_of[unsure[number]]))] = 1
    for i in range(n):
        ends_of[i] = ends[uint64(uint32(bucket_of[i]))]
    # a few more than there are, as whole words are compared
    upper = fill_upper(key, first, space, n + WORD)
    found = int64(0)
    for word in range(bits.size):
        both = decide(upper, ends_of, WORD * word)
        bits[word] = uint32(both)
        found += append_places(uint32(both >> uint64(32)), WORD * word, unsure, found)
    while found > 0 and unsure[found - 1] >= n:
        found -= 1
    counted = int64(0)
    for number in range(found):
        i = unsure[number]
        bucket = bucket_of[i]
        rank = int32(begins[bucket] + within[i])
        if mixed[bucket]:
            if counted < COUNTED:
                rank = rank_of(sizes, i)
            else:
                if counted == COUNTED:
                    rank_all(delta, ranks)
                rank = ranks[i]
            counted += 1
        limit = limits[rank]
        kept = upper[i] < (limit >> 16)
        if upper[i] == (limit >> 16):
            kept = lower(key, first + int64(i)) < (limit & 0xFFFF)
        bits[i // WORD] |= uint32(uint32(kept) << uint32(i % WORD))
