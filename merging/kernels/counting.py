"""Counting the magnitudes of vectors: between two ends, and by their bits.

A vector is `values - base`, or `values` where the base is empty. Magnitudes are taken as the bits
of the float32, an int32 that orders like the number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from merging.kernels.compiled import VECTOR, compiled, inlined
from merging.kernels.masks import WORD, append_marked, bits_above, count_bits
from merging.kernels.numbers import int32, int64
from merging.kernels.rows import of_rows, single
from merging.kernels.weighted import BLOCK

if TYPE_CHECKING:
    from numpy.typing import NDArray

# places that must be free in what is collected, as a block may fill them
SLACK = BLOCK + WORD
# below every end
OUTSIDE = np.int32(-2)
# columns of what is counted around two ends
ABOVE, AT_HIGH, BETWEEN, AT_LOW = range(4)
_MAGNITUDE = np.int32(0x7FFFFFFF)


@inlined
def fill_bits(values: Any, base: Any, out: Any) -> None:
    """Magnitudes' bits of a part of a vector, `[n]` int32."""
    deltas = out.view(np.float32)
    if base.size:
        for i in range(out.size):
            deltas[i] = single(values, i) - single(base, i)
    else:
        for i in range(out.size):
            deltas[i] = single(values, i)
    for i in range(out.size):
        out[i] &= _MAGNITUDE


@of_rows(f"void({VECTOR}, {VECTOR}, int32[::1])")
def magnitude_bits(
    values: NDArray[np.float32], base: NDArray[np.float32], out: NDArray[np.int32]
) -> None:
    """See `fill_bits`."""
    fill_bits(values, base, out)


@compiled("int32(Array(int32, 1, 'C', readonly=True), int64)")
def kth_largest_of(numbers: NDArray[np.int32], rank: int) -> int:
    """The `rank`-th largest of some numbers of 0 or more, found bit by bit.

    It is the largest number that `rank` of them reach. A count per bit takes less than partial
    sorting, and as much for equal numbers as for different ones.
    """
    found = int32(0)
    for bit in range(30, -1, -1):
        trial = int32(found | int32(int32(1) << int32(bit)))
        reached = int32(0)
        for i in range(numbers.size):
            # additions of 32 bits, for numba would make 64 of them
            reached = int32(reached + int32(numbers[i] >= trial))
        if reached >= rank:
            found = trial
    return found


@of_rows(f"void({VECTOR}, {VECTOR}, int32[::1], int32[::1], int32[:, ::1], int64[:, ::1])")
def collect_between(
    values: NDArray[np.float32],
    base: NDArray[np.float32],
    lows: NDArray[np.int32],
    highs: NDArray[np.int32],
    collected: NDArray[np.int32],
    counts: NDArray[np.int64],
) -> None:
    """Count the magnitudes around pairs of ends, and collect what is strictly between.

    Args:
        values: `[n]` float32.
        base: `[n]` float32, or empty.
        lows: `[R]` bits of the lower ends, -1 or more.
        highs: `[R]` bits of the upper ends, not below the lower.
        collected: `[R, room]`, receives what is between, until only `SLACK` places are left.
        counts: `[R, 4]`, added to: how many are above the upper end, at it, between, and at the
            lower end (none when both ends are one).
    """
    bits = np.empty(BLOCK, dtype=np.int32)
    room = collected.shape[1] - SLACK
    for start in range(0, values.size, BLOCK):
        stop = min(start + BLOCK, values.size)
        fill_bits(values[start:stop], base[start:stop], bits[: stop - start])
        # the end of a last, shorter block is below everything
        bits[stop - start :] = OUTSIDE
        for r in range(lows.size):
            low, high, own = lows[r], highs[r], collected[r]
            above, from_high, from_low = int64(0), int64(0), int64(0)
            if low == high:
                for place in range(0, BLOCK, WORD):
                    above += count_bits(bits_above(bits, place, high))
                    from_high += count_bits(bits_above(bits, place, int32(high - int32(1))))
            else:
                have = counts[r, BETWEEN]
                between = int64(0)
                for place in range(0, BLOCK, WORD):
                    reach = bits_above(bits, place, int32(high - int32(1)))
                    over = bits_above(bits, place, low) & ~reach
                    above += count_bits(bits_above(bits, place, high))
                    from_high += count_bits(reach)
                    from_low += count_bits(bits_above(bits, place, int32(low - int32(1))))
                    if over:
                        if have <= room:
                            append_marked(over, bits, place, own, have + between)
                        between += count_bits(over)
                counts[r, BETWEEN] += between
                counts[r, AT_LOW] += from_low - from_high - between
            counts[r, ABOVE] += above
            counts[r, AT_HIGH] += from_high - above


@of_rows(f"void({VECTOR}, {VECTOR}, int64[::1])")
def count_upper(
    values: NDArray[np.float32], base: NDArray[np.float32], counts: NDArray[np.int64]
) -> None:
    """Add to a histogram `[65536]` of the upper 16 bits."""
    space = np.empty(BLOCK, dtype=np.int32)
    for start in range(0, values.size, BLOCK):
        stop = min(start + BLOCK, values.size)
        bits = space[: stop - start]
        fill_bits(values[start:stop], base[start:stop], bits)
        for i in range(bits.size):
            counts[bits[i] >> 16] += 1


@of_rows(f"void({VECTOR}, {VECTOR}, int32, int64[::1])")
def count_lower(
    values: NDArray[np.float32],
    base: NDArray[np.float32],
    upper: int,
    counts: NDArray[np.int64],
) -> None:
    """Add to a histogram `[65536]` of the lower 16 bits of those with these upper ones."""
    space = np.empty(BLOCK, dtype=np.int32)
    for start in range(0, values.size, BLOCK):
        stop = min(start + BLOCK, values.size)
        bits = space[: stop - start]
        fill_bits(values[start:stop], base[start:stop], bits)
        for i in range(bits.size):
            if (bits[i] >> 16) == upper:
                counts[bits[i] & 0xFFFF] += 1
