"""Stored numbers to float32 and back, with the check for NaN and infinity on the way.

The bits are torch's: bfloat16 and float16 are rounded to the nearest, ties to even, and subnormal
numbers, both zeros and the overflow to infinity included. The check costs next to nothing: the
largest magnitude is found while the numbers are converted, and compared as bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from merging.kernels.compiled import compiled
from merging.kernels.numbers import float32, float64, int32, uint16, uint32

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    # what a file is read into, or a part of it
    Bytes = bytes | bytearray | memoryview[int] | NDArray[Any]

# numpy dtypes of the stored formats, all little-endian as safetensors has them
NUMPY_TYPES = {"BF16": "<u2", "F16": "<u2", "F32": "<f4", "F64": "<f8"}

INFINITY_F32 = 0x7F800000
# magnitudes from here on are rounded to infinity
BEYOND_BF16 = 0x7F7F8000
BEYOND_F16 = 0x477FF000


def widen(raw: Bytes, dtype: str, out: NDArray[np.float32]) -> bool:
    """Turn stored numbers into float32.

    Args:
        raw: bytes of `n` numbers, little-endian.
        dtype: their format, `BF16`, `F16`, `F32` or `F64`.
        out: `[n]` float32, filled.

    Returns:
        Whether all of `out` is finite.

    Raises:
        KeyError: another format.
    """
    stored = np.frombuffer(raw, NUMPY_TYPES[dtype], count=out.size)
    return bool(_WIDEN[dtype](stored, out))


def narrow(values: NDArray[np.float32], dtype: str, out: Bytes) -> bool:
    """Turn float32 into stored numbers.

    Args:
        values: `[n]` float32.
        dtype: the format, `BF16`, `F16`, `F32` or `F64`.
        out: writable bytes of (at least) `n` such numbers, filled.

    Returns:
        Whether all of the result is finite.

    Raises:
        KeyError: another format.
    """
    stored = np.frombuffer(out, NUMPY_TYPES[dtype], count=values.size)
    return bool(_NARROW[dtype](values, stored))


# Numbers arrive as read-only views of bytes or as parts of a writable buffer; numba's types tell
# the two apart, so that a kernel which only reads says it takes the read-only kind.
def _reading(item: str) -> str:
    return f"Array({item}, 1, 'C', readonly=True)"


@compiled(f"boolean({_reading('uint16')}, float32[::1])")
def widen_bf16(stored: NDArray[np.uint16], out: NDArray[np.float32]) -> bool:
    """The upper half of a float32."""
    bits = out.view(np.uint32)
    largest = int32(0)
    for i in range(out.size):
        word = stored[i]
        bits[i] = uint32(word) << uint32(16)
        largest = max(largest, int32(word & uint16(0x7FFF)))
    return largest < int32(0x7F80)


@compiled(f"boolean({_reading('uint16')}, float32[::1])")
def widen_f16(stored: NDArray[np.uint16], out: NDArray[np.float32]) -> bool:
    """Exponent and mantissa moved into place, then scaled by 2^112: exact, subnormals included."""
    bits = out.view(np.uint32)
    largest = int32(0)
    for i in range(out.size):
        word = uint32(stored[i])
        magnitude = word & uint32(0x7FFF)
        bits[i] = (magnitude << uint32(13)) | ((word & uint32(0x8000)) << uint32(16))
        largest = max(largest, int32(magnitude))
    scale = float32(2.0**112)
    for i in range(out.size):
        out[i] *= scale
    if largest < int32(0x7C00):
        return True
    for i in range(out.size):
        if (stored[i] & uint16(0x7C00)) == uint16(0x7C00):
            bits[i] |= uint32(INFINITY_F32)
    return False


@compiled(f"boolean({_reading('float32')}, float32[::1])")
def widen_f32(stored: NDArray[np.float32], out: NDArray[np.float32]) -> bool:
    """A copy."""
    bits = stored.view(np.int32)
    largest = int32(0)
    for i in range(out.size):
        out[i] = stored[i]
        largest = max(largest, bits[i] & int32(0x7FFFFFFF))
    return largest < int32(INFINITY_F32)


@compiled(f"boolean({_reading('float64')}, float32[::1])")
def widen_f64(stored: NDArray[np.float64], out: NDArray[np.float32]) -> bool:
    """Rounded to the nearest float32."""
    bits = out.view(np.int32)
    largest = int32(0)
    for i in range(out.size):
        out[i] = float32(stored[i])
        largest = max(largest, bits[i] & int32(0x7FFFFFFF))
    return largest < int32(INFINITY_F32)


@compiled(f"boolean({_reading('float32')}, uint16[::1])")
def narrow_bf16(values: NDArray[np.float32], out: NDArray[np.uint16]) -> bool:
    """Half of the lower half is added, less one where the upper half is even; then it is cut."""
    bits = values.view(np.uint32)
    largest = uint32(0)
    for i in range(values.size):
        word = bits[i]
        out[i] = uint16(
            (word + (uint32(0x7FFF) + ((word >> uint32(16)) & uint32(1)))) >> uint32(16)
        )
        largest = max(largest, word & uint32(0x7FFFFFFF))
    if largest < uint32(BEYOND_BF16):
        return True
    for i in range(values.size):
        # the addition would carry a NaN over into the sign
        if values[i] != values[i]:
            out[i] = uint16(0x7FC0)
    return False


@compiled(f"boolean({_reading('float32')}, uint16[::1])")
def narrow_f16(values: NDArray[np.float32], out: NDArray[np.uint16]) -> bool:
    """As bfloat16, with the exponent's offset changed; subnormals are rounded by an addition."""
    bits = values.view(np.uint32)
    largest = uint32(0)
    for i in range(values.size):
        word = bits[i]
        magnitude = word & uint32(0x7FFFFFFF)
        largest = max(largest, magnitude)
        sign = (word >> uint32(16)) & uint32(0x8000)
        odd = (magnitude >> uint32(13)) & uint32(1)
        normal = (magnitude + (uint32(0xC8000FFF) + odd)) >> uint32(13)
        # 0.5 has the spacing of float16's subnormals, 2^-24, as its last place
        small = np.float32(abs(values[i]) + float32(0.5)).view(np.uint32) - uint32(0x3F000000)
        out[i] = uint16(sign | (small if magnitude < uint32(0x38800000) else normal))
    if largest < uint32(BEYOND_F16):
        return True
    for i in range(values.size):
        magnitude = bits[i] & uint32(0x7FFFFFFF)
        sign = (bits[i] >> uint32(16)) & uint32(0x8000)
        if magnitude > uint32(INFINITY_F32):
            out[i] = uint16(sign | uint32(0x7E00))
        elif magnitude >= uint32(BEYOND_F16):
            out[i] = uint16(sign | uint32(0x7C00))
    return False


@compiled(f"boolean({_reading('float32')}, float32[::1])")
def narrow_f32(values: NDArray[np.float32], out: NDArray[np.float32]) -> bool:
    """A copy."""
    bits = values.view(np.int32)
    largest = int32(0)
    for i in range(values.size):
        out[i] = values[i]
        largest = max(largest, bits[i] & int32(0x7FFFFFFF))
    return largest < int32(INFINITY_F32)


@compiled(f"boolean({_reading('float32')}, float64[::1])")
def narrow_f64(values: NDArray[np.float32], out: NDArray[np.float64]) -> bool:
    """The same number."""
    bits = values.view(np.int32)
    largest = int32(0)
    for i in range(values.size):
        out[i] = float64(values[i])
        largest = max(largest, bits[i] & int32(0x7FFFFFFF))
    return largest < int32(INFINITY_F32)


_WIDEN: dict[str, Callable[..., bool]]
_WIDEN = {"BF16": widen_bf16, "F16": widen_f16, "F32": widen_f32, "F64": widen_f64}
_NARROW: dict[str, Callable[..., bool]]
_NARROW = {"BF16": narrow_bf16, "F16": narrow_f16, "F32": narrow_f32, "F64": narrow_f64}
