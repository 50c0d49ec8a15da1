"""The order of a row's magnitudes, without comparing each with many others.

Magnitudes are dealt into as many buckets as there are, evenly spaced up to four times their mean,
so that few share one; what is left to do is an insertion sort of a row that is nearly in order.
A row of which too much would have to be moved (most of it far from the mean) is sorted by digits.
Zeros are left out: they come first, and nothing that is done to them changes them.

A key holds the magnitude's bits above the place in the row, so that equal magnitudes are in the
order of their places, as a stable sort leaves them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from merging.kernels.compiled import VECTOR, compiled, inlined
from merging.kernels.numbers import float32, float64, int32, int64, uint32, uint64

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HALF = np.uint64(32)
_SIGN = np.uint32(0x7FFFFFFF)
# mean number of moves per element from which on digits are quicker
MOVES = 4
DIGIT = 11
DIGITS = 1 << DIGIT
PASSES = 3


@inlined
def buckets_for(row_length: Any) -> Any:
    """How many counters `sorted_keys` needs: a power of two, and no less than the digits take."""
    count = DIGITS
    while count < row_length and count < 65536:
        count *= 2
    return count


@inlined
def _begin(counts: Any) -> None:
    """Where each bucket begins, from how much is in each."""
    before = int32(0)
    for bucket in range(counts.size):
        here = counts[bucket]
        counts[bucket] = before
        before = int32(before + here)


@inlined
def _about_sum(values: Any) -> Any:
    """The sum of the magnitudes from a quarter of them, good enough for choosing buckets."""
    lanes = np.zeros(32, dtype=np.float32)
    parts = values.size // 32
    step = 4 if parts > 8 else 1
    for part in range(0, parts, step):
        for lane in range(32):
            lanes[lane] += abs(values[part * 32 + lane])
    for i in range(parts * 32, values.size):
        lanes[0] += abs(values[i]) / step
    return float64(lanes.sum()) * step


@inlined
def _by_digit(keys: Any, out: Any, shift: Any, counts: Any) -> None:
    """Put the keys in the order of one digit, and of their places where that is the same."""
    counts[:DIGITS] = 0
    low = uint64(DIGITS - 1)
    for i in range(keys.size):
        counts[(keys[i] >> shift) & low] += int32(1)
    _begin(counts[:DIGITS])
    for i in range(keys.size):
        digit = (keys[i] >> shift) & low
        out[uint64(uint32(counts[digit]))] = keys[i]
        counts[digit] = int32(counts[digit] + 1)


@compiled(f"int64({VECTOR}, int32[::1], uint32[::1], uint64[::1], uint64[::1])")
def sorted_keys(
    values: NDArray[np.float32],
    counts: NDArray[np.int32],
    buckets: NDArray[np.uint32],
    keys: NDArray[np.uint64],
    others: NDArray[np.uint64],
) -> int:
    """Order the entries of a row that are not zero by their magnitude.

    Args:
        values: `[n]` float32.
        counts: `[buckets_for(n)]` int32, to work in.
        buckets: `[n]` uint32, to work in.
        keys: `[n]` uint64, to work in.
        others: `[n]` uint64, whose first entries are the sorted keys afterwards: the place of an
            entry in the lower 32 bits.

    Returns:
        How many entries are not zero.
    """
    bits = values.view(np.uint32)
    n = int64(0)
    for i in range(values.size):
        magnitude = bits[i] & _SIGN
        keys[n] = (uint64(magnitude) << _HALF) | uint64(i)
        n += int64(magnitude != uint32(0))
    total = _about_sum(values)
    scale = float32(counts.size / 4 * n / total) if total > 0 else float32(0)
    last = float32(counts.size - 1)
    for i in range(n):
        # a larger magnitude is never in an earlier bucket
        size = np.uint32(keys[i] >> _HALF).view(np.float32) * scale
        buckets[i] = uint32(int32(min(size, last)))
    counts[:] = 0
    # indices without a sign, for which numba need not ask whether they count from the end
    for i in range(n):
        bucket = uint64(buckets[i])
        counts[bucket] = int32(counts[bucket] + int32(1))
    _begin(counts)
    for i in range(n):
        bucket = uint64(buckets[i])
        place = uint64(uint32(counts[bucket]))
        counts[bucket] = int32(place + uint64(1))
        others[place] = keys[i]
    moves = int64(0)
    i = int64(1)
    while i < n and moves <= MOVES * n:
        key = others[i]
        if key < others[i - 1]:
            place = i
            while place > 0 and others[place - 1] > key:
                others[place] = others[place - 1]
                place -= 1
            moves += i - place
            others[place] = key
        i += 1
    if i < n:
        for number in range(PASSES):
            shift = uint64(32 + DIGIT * number)
            if number % 2 == 0:
                _by_digit(keys[:n], others, shift, counts)
            else:
                _by_digit(others[:n], keys, shift, counts)
    return n
