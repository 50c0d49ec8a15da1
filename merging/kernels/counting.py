"""Counting the magnitudes of vectors: between two ends, and by their bits.

A vector is `values - base`, or `values` where the base is empty. Magnitudes are taken as the bits
of the float32, an int32 that orders like the number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from merging.kernels.compiled import VECTOR, compiled, inlined
from merging.kernels.compress import LANES, compress_between
from merging.kernels.numbers import int32, int64
from merging.kernels.weighted import BLOCK

if TYPE_CHECKING:
    from numpy.typing import NDArray

# places that must be free in what is collected, as a block may fill them
SLACK = BLOCK + LANES
# below every end
OUTSIDE = np.int32(-2)
_MAGNITUDE = np.int32(0x7FFFFFFF)


@inlined
def fill_bits(values: Any, base: Any, out: Any) -> None:
    """Magnitudes' bits of a part of a vector, `[n]` int32."""
    deltas = out.view(np.float32)
    if base.size:
        for i in range(out.size):
            deltas[i] = values[i] - base[i]
    else:
        for i in range(out.size):
            deltas[i] = values[i]
    for i in range(out.size):
        out[i] &= _MAGNITUDE


@compiled(f"void({VECTOR}, {VECTOR}, int32[::1])")
def magnitude_bits(
    values: NDArray[np.float32], base: NDArray[np.float32], out: NDArray[np.int32]
) -> None:
    """See `fill_bits`."""
    fill_bits(values, base, out)


@inlined
def count_from(bits: Any, end: Any) -> Any:
    """How many numbers are above the end, and how many at it or above, int32."""
    above, at_or_above = int32(0), int32(0)
    for i in range(bits.size):
        # additions of 32 bits, for numba would make 64 of them
        above = int32(above + int32(bits[i] > end))
        at_or_above = int32(at_or_above + int32(bits[i] >= end))
    return above, at_or_above


@compiled("int32(Array(int32, 1, 'C', readonly=True), int64)")
def kth_largest_of(numbers: NDArray[np.int32], rank: int) -> int:
    """The `rank`-th largest of some numbers of 0 or more, found bit by bit.

    It is the largest number that `rank` of them reach. A count per bit takes less than partial
    sorting, and as much for equal numbers as for different ones.
    """
    found = int32(0)
    for bit in range(30, -1, -1):
        trial = int32(found | int32(int32(1) << int32(bit)))
        reached = int64(0)
        for i in range(numbers.size):
            reached += int64(numbers[i] >= trial)
        if reached >= rank:
            found = trial
    return found


@compiled(f"UniTuple(int64, 4)({VECTOR}, {VECTOR}, int32, int32, int32[::1], int64)")
def collect_between(
    values: NDArray[np.float32],
    base: NDArray[np.float32],
    low: int,
    high: int,
    collected: NDArray[np.int32],
    already: int,
) -> tuple[int, int, int, int]:
    """Count the magnitudes around two ends, and collect what is strictly between.

    Args:
        values: `[n]` float32.
        base: `[n]` float32, or empty.
        low: bits of the lower end, -1 or more.
        high: bits of the upper end, not below the lower.
        collected: receives what is between, until only `SLACK` places are left.
        already: how many there were before.

    Returns:
        How many are above the upper end, at it, between, and at the lower end (none when both ends
        are one).
    """
    space = np.empty(BLOCK, dtype=np.int32)
    above, from_high, over_low, from_low = int64(0), int64(0), int64(0), int64(0)
    have = int64(already)
    for start in range(0, values.size, BLOCK):
        stop = min(start + BLOCK, values.size)
        bits = space[: stop - start]
        fill_bits(values[start:stop], base[start:stop], bits)
        counts = count_from(bits, high)
        above, from_high = above + counts[0], from_high + counts[1]
        if low < high:
            before = counts[1]
            counts = count_from(bits, low)
            over_low, from_low = over_low + counts[0], from_low + counts[1]
            if have + SLACK > collected.size:
                have += counts[0] - before
            elif counts[0] > before:
                # the end of a last, shorter block is below everything
                space[bits.size :] = OUTSIDE
                for first in range(0, bits.size, LANES):
                    have += compress_between(space, first, low, high, collected, have)
    return above, from_high - above, have - already, from_low - over_low


@compiled(f"void({VECTOR}, {VECTOR}, int64[::1])")
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


@compiled(f"void({VECTOR}, {VECTOR}, int32, int64[::1])")
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
