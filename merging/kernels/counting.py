"""Counting the magnitudes of vectors: between two ends, and by their bits.

A vector is `values - base`, or `values` where the base is empty. Magnitudes are taken as the bits
of the float32, an int32 that orders like the number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import int32, int64

from merging.kernels.compiled import VECTOR, compiled, inlined
from merging.kernels.weighted import BLOCK

if TYPE_CHECKING:
    from numpy.typing import NDArray

# elements whose counts say whether anything in them is worth collecting
GROUP = 128
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
        low: bits of the lower end.
        high: bits of the upper end, not below the lower.
        collected: receives what is between, while there is room.
        already: how many it has.

    Returns:
        How many are above the upper end, at it, between, and at the lower end (none when both ends
        are one).
    """
    space = np.empty(BLOCK, dtype=np.int32)
    above, from_high, over_low, from_low = int64(0), int64(0), int64(0), int64(0)
    have = already
    for start in range(0, values.size, BLOCK):
        stop = min(start + BLOCK, values.size)
        bits = space[: stop - start]
        fill_bits(values[start:stop], base[start:stop], bits)
        for first in range(0, bits.size, GROUP):
            group = bits[first : first + GROUP]
            a, b, c, d = int32(0), int32(0), int32(0), int32(0)
            for i in range(group.size):
                word = group[i]
                a += int32(word > high)
                b += int32(word >= high)
                c += int32(word > low)
                d += int32(word >= low)
            above, from_high, over_low, from_low = (
                above + a,
                from_high + b,
                over_low + c,
                from_low + d,
            )
            if c > b:
                if have + group.size <= collected.size:
                    # every number is written, and the next one over it unless it is between
                    for i in range(group.size):
                        collected[have] = group[i]
                        have += int64((group[i] > low) & (group[i] < high))
                else:
                    for i in range(group.size):
                        if group[i] > low and group[i] < high:
                            if have < collected.size:
                                collected[have] = group[i]
                            have += 1
    at_low = from_low - over_low if low < high else 0
    return above, from_high - above, have - already, at_low


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
