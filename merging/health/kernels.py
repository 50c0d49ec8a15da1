"""What is counted of every chunk of a merge while it lies in the cache, and of a folder's tensors.

About 0.2 ns an element. Squares of float32 are exact in float64, in which they are added up: where
a chunk ends changes a sum by no more than its last bits, which no report shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from merging.kernels.compiled import compiled, sum_of
from merging.kernels.convert import BEYOND_BF16
from merging.kernels.numbers import int32, uint16, uint32
from merging.kernels.rows import single
from merging.kernels.weighted import BLOCK

if TYPE_CHECKING:
    from numpy.typing import NDArray

# places in the sums
SQUARES, REFERENCE, CHANGED, LOST = range(4)


@sum_of("float64(float32[::1])")
def squares(values: NDArray[np.float32]) -> float:
    """Sum of squares."""
    total = 0.0
    for i in range(values.size):
        value = np.float64(values[i])
        total += value * value
    return total


@compiled("void(float32[::1], float32[::1], float64[::1])")
def add_norms(
    values: NDArray[np.float32], reference: NDArray[np.float32], sums: NDArray[np.float64]
) -> None:
    """Add the squares of both to `sums`."""
    sums[SQUARES] += squares(values)
    sums[REFERENCE] += squares(reference)


@sum_of("float64(Array(uint16, 1, 'C', readonly=True))")
def squares_of_bits(stored: NDArray[np.uint16]) -> float:
    """Sum of squares of bfloat16 numbers."""
    total = 0.0
    for i in range(stored.size):
        value = np.float64(single(stored, i))
        total += value * value
    return total


def narrow_and_count(
    values: NDArray[np.float32],
    reference: NDArray[np.uint16],
    out: memoryview,
    sums: NDArray[np.float64],
) -> bool:
    """Turn float32 into bfloat16 and count all four numbers on the way.

    Args:
        values: `[n]` float32 as merged.
        reference: `[n]` bfloat16 as it is stored, of the base or else the first model.
        out: bytes of n bfloat16 numbers, filled.
        sums: `[4]`, added to.

    Returns:
        Whether all of the result is finite.
    """
    stored = np.frombuffer(out, np.uint16, count=values.size)
    return bool(narrow_and_add(values, reference, stored, sums))


@compiled("boolean(float32[::1], Array(uint16, 1, 'C', readonly=True), uint16[::1], float64[::1])")
def narrow_and_add(
    values: NDArray[np.float32],
    reference: NDArray[np.uint16],
    out: NDArray[np.uint16],
    sums: NDArray[np.float64],
) -> bool:
    """See `narrow_and_count`; block by block, so that each number is read once."""
    largest = uint32(0)
    changed, lost = int32(0), int32(0)
    for start in range(0, values.size, BLOCK):
        stop = min(start + BLOCK, values.size)
        own, old, new = values[start:stop], reference[start:stop], out[start:stop]
        bits = own.view(np.uint32)
        for i in range(bits.size):
            word = bits[i]
            # rounded to the nearest, ties to even, as merging.kernels.convert does
            new[i] = uint16(
                (word + (uint32(0x7FFF) + ((word >> uint32(16)) & uint32(1)))) >> uint32(16)
            )
            largest = max(largest, word & uint32(0x7FFFFFFF))
        for i in range(bits.size):
            differs = int32(bits[i] != uint32(uint32(old[i]) << uint32(16)))
            # without these conversions numba would count in 64 bits, four at a time
            changed = int32(changed + differs)
            lost = int32(lost + int32(differs & int32(new[i] == old[i])))
        sums[SQUARES] += squares(own)
        sums[REFERENCE] += squares_of_bits(old)
    sums[CHANGED] += changed
    sums[LOST] += lost
    return largest < uint32(BEYOND_BF16)


@compiled("void(float32[::1], float32[::1], float64[::1])")
def add_lost_bf16(
    merged: NDArray[np.float32], base: NDArray[np.float32], sums: NDArray[np.float64]
) -> None:
    """Count the entries that the merge changes, and those of them that bfloat16 rounds back."""
    new, old = merged.view(np.uint32), base.view(np.uint32)
    changed, lost = int32(0), int32(0)
    for i in range(new.size):
        u, v = new[i], old[i]
        # rounded to the nearest, ties to even, as merging.kernels.convert does
        a = uint32(uint32(u + uint32(uint32(0x7FFF) + uint32((u >> uint32(16)) & 1))) >> uint32(16))
        b = uint32(uint32(v + uint32(uint32(0x7FFF) + uint32((v >> uint32(16)) & 1))) >> uint32(16))
        differs = int32(u != v)
        # without these conversions numba would count in 64 bits, four at a time instead of eight
        changed = int32(changed + differs)
        lost = int32(lost + int32(differs & int32(a == b)))
    sums[CHANGED] += changed
    sums[LOST] += lost


@compiled("void(float32[::1], float32[::1], uint16[::1], uint16[::1], float64[::1])")
def add_lost(
    merged: NDArray[np.float32],
    base: NDArray[np.float32],
    stored: NDArray[np.uint16],
    stored_base: NDArray[np.uint16],
    sums: NDArray[np.float64],
) -> None:
    """The same for any format of 16 bits, both already in it."""
    new, old = merged.view(np.uint32), base.view(np.uint32)
    changed, lost = int32(0), int32(0)
    for i in range(new.size):
        differs = int32(new[i] != old[i])
        changed = int32(changed + differs)
        lost = int32(lost + int32(differs & int32(stored[i] == stored_base[i])))
    sums[CHANGED] += changed
    sums[LOST] += lost


@compiled("int64(float32[::1], float64[::1])")
def add_finite(values: NDArray[np.float32], sums: NDArray[np.float64]) -> int:
    """Add the squares of what is finite to `sums`, and return how many are not."""
    bits = values.view(np.int32)
    wrong = 0
    for i in range(values.size):
        if (bits[i] & int32(0x7FFFFFFF)) >= int32(0x7F800000):
            wrong += 1
    if wrong == 0:
        sums[SQUARES] += squares(values)
    return wrong
