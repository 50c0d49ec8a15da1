"""What is kept of a task vector, as a bit per element, 32 to a word, the first one lowest."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from merging.kernels.compiled import Part, inlined
from merging.kernels.numbers import int64, uint32
from merging.kernels.rows import single

WORD = 32
_ZERO = np.float32(0.0)


def _vector(name: str) -> Any:
    """An operation on 32 numbers at once; see `merging.kernels.vectors`."""
    return Part(lambda: getattr(import_module("merging.kernels.vectors"), name))


# (uint16 array, int64 place, uint16 limit) -> uint32: which of 32 numbers are below, or equal
bits_below = _vector("bits_below")
bits_equal = _vector("bits_equal")
# (int32 array, int64 place, int32 limit) -> uint32
bits_above = _vector("bits_above")
# (uint16 array, uint32 array of two ends of 16 bits each, the lower one lowest, int64 place)
# -> uint64: which are below both ends, and in the upper bits which are below neither nor above both
decide = _vector("decide")
# (uint32 bits) -> int64
count_bits = _vector("count_bits")
# (uint32 bits, int32 array of numbers, int64 place, int32 array, int64 have) -> int64
append_marked = _vector("append_marked")
# (uint32 bits, int64 place, int32 array, int64 have) -> int64
append_places = _vector("append_places")


@inlined
def words_in(elements: Any) -> Any:
    """`words_for` in compiled functions."""
    return (elements + WORD - 1) // WORD


def words_for(elements: int) -> int:
    """Words that hold a bit for each of some elements."""
    return (elements + WORD - 1) // WORD


@inlined
def is_kept(bits: Any, i: Any) -> Any:
    """Whether the bit of element i is set."""
    return (bits[i // WORD] >> uint32(i % WORD)) & uint32(1)


@inlined
def keep_marked(model: Any, base: Any, bits: Any, place: Any, out: Any) -> None:
    """The task vector with zero for what is not kept.

    Args:
        model: `[n]` float32, or bfloat16 as uint16.
        base: `[n]` of the same.
        bits: uint32 words.
        place: int64, where the bit of the first element is.
        out: at least n float32.
    """
    n = base.size
    full = n // WORD if place == 0 else int64(0)
    for number in range(full):
        word = bits[number]
        for lane in range(WORD):
            i = WORD * number + lane
            delta = single(model, i) - single(base, i)
            out[i] = delta if (word >> uint32(lane)) & uint32(1) else _ZERO
    for i in range(WORD * full, n):
        out[i] = single(model, i) - single(base, i) if is_kept(bits, place + i) else _ZERO


@inlined
def sizes_marked(model: Any, base: Any, bits: Any, place: Any, all_: Any, kept: Any) -> None:
    """Magnitudes of a task vector, and the same with zero for what is not kept; see above."""
    n = base.size
    full = n // WORD if place == 0 else int64(0)
    for number in range(full):
        word = bits[number]
        for lane in range(WORD):
            i = WORD * number + lane
            size = abs(single(model, i) - single(base, i))
            all_[i] = size
            kept[i] = size if (word >> uint32(lane)) & uint32(1) else _ZERO
    for i in range(WORD * full, n):
        size = abs(single(model, i) - single(base, i))
        all_[i] = size
        kept[i] = size if is_kept(bits, place + i) else _ZERO
