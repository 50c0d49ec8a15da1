"""The random numbers of a merge: Philox 4x32-10, one 32-bit number per element.

The number of element e under a 64-bit key is `hi << 16 | lo`: `hi` is word e mod 8 (of 16 bits, the
little end first) of Philox with counter (e // 8, 0, 0), and `lo` the same word with counter
(e // 8, 1, 0), where e // 8 fills the counter's first two words of 32 bits. An element is kept when
its number is below `round(p * 2^32)`. The upper half nearly always settles that, so the lower one
is computed only where it does not, for one element in 65536.

Philox: Salmon and others, Parallel random numbers: as easy as 1, 2, 3, SC 2011.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from merging.kernels.compiled import compiled, inlined
from merging.kernels.numbers import int64, uint32, uint64

if TYPE_CHECKING:
    from numpy.typing import NDArray

# elements that one step of the generator serves
PER_STEP = 8
ROUNDS = 10
ALL = 1 << 32

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLIER_0 = np.uint64(0xD2511F53)
_MULTIPLIER_1 = np.uint64(0xCD9E8D57)
_WEYL_0 = np.uint64(0x9E3779B9)
_WEYL_1 = np.uint64(0xBB67AE85)


def threshold(probability: float) -> int:
    """An element is kept when its number is below this; `probability` 1 keeps all."""
    return round(probability * ALL)


def words(key: int, start: int, count: int) -> NDArray[np.uint32]:
    """The numbers of elements `start` to `start + count`, `[count]`."""
    numbers = np.empty(count, dtype=np.uint32)
    fill_words(key, start, numbers)
    return numbers


@inlined
def step(key: Any, counter: Any, half: Any) -> Any:
    """Four words of 32 bits in the lower halves of 64-bit ones; what lies above them is noise.

    Args:
        key: uint64.
        counter: uint64, its lower two words.
        half: uint64, its third word.
    """
    x0, x1, x2, x3 = counter & _LOW, counter >> _HALF, half, uint64(0)
    k0, k1 = key & _LOW, key >> _HALF
    for _ in range(ROUNDS):
        # 64-bit products of 32-bit factors are what vectors multiply in one instruction
        p0, p1 = (x0 & _LOW) * _MULTIPLIER_0, (x2 & _LOW) * _MULTIPLIER_1
        x0, x1, x2, x3 = (p1 >> _HALF) ^ x1 ^ k0, p1, (p0 >> _HALF) ^ x3 ^ k1, p0
        k0, k1 = (k0 + _WEYL_0) & _LOW, (k1 + _WEYL_1) & _LOW
    return x0, x1, x2, x3


@inlined
def fill_upper(key: Any, start: Any, space: Any, count: Any) -> Any:
    """The upper halves of the numbers of elements `start` to `start + count`.

    Args:
        key: uint64.
        start: int64.
        space: uint32, at least `space_for(count)` of them.
        count: int64.

    Returns:
        `[count]` uint16, a view of `space`.
    """
    first = start // PER_STEP
    offset = start - first * PER_STEP
    steps = (offset + count + PER_STEP - 1) // PER_STEP
    for i in range(steps):
        x0, x1, x2, x3 = step(key, uint64(first) + uint64(i), uint64(0))
        space[4 * i] = uint32(x0)
        space[4 * i + 1] = uint32(x1)
        space[4 * i + 2] = uint32(x2)
        space[4 * i + 3] = uint32(x3)
    return space.view(np.uint16)[offset : offset + count]


@inlined
def space_for(count: Any) -> Any:
    """Words of 32 bits that `fill_upper` needs."""
    return count // 2 + PER_STEP


@inlined
def lower(key: Any, element: Any) -> Any:
    """The lower half of one element's number, as int64."""
    x0, x1, x2, x3 = step(key, uint64(element // PER_STEP), uint64(1))
    word = element % PER_STEP
    pair = x0 if word < 2 else (x1 if word < 4 else (x2 if word < 6 else x3))
    return int64((pair >> uint64(16 * (word % 2))) & uint64(0xFFFF))


@compiled("void(uint64, int64, uint32[::1])")
def fill_words(key: int, start: int, numbers: NDArray[np.uint32]) -> None:
    """The whole numbers of the elements from `start` on."""
    count = numbers.size
    first = start // PER_STEP
    for i in range(count):
        numbers[i] = 0
    for half in range(2):
        for i in range((start + count - 1) // PER_STEP - first + 1 if count else 0):
            four = step(uint64(key), uint64(first + i), uint64(half))
            for word in range(PER_STEP):
                element = (first + i) * PER_STEP + word - start
                if 0 <= element < count:
                    part = (four[word // 2] >> uint64(16 * (word % 2))) & uint64(0xFFFF)
                    numbers[element] |= uint32(part << uint64(0 if half else 16))
