"""Stored bytes as float32, in numpy: exact for every dtype but F64, which is rounded."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def widen_into(stored: NDArray[np.uint8], dtype: str, out: NDArray[np.float32]) -> None:
    """Write the values of `stored` into `out`.

    Args:
        stored: bytes of `n` elements.
        dtype: a floating-point dtype as the format spells it: `BF16`, `F8_E4M3` ...
        out: `[n]`.
    """
    if dtype == "BF16":  # the upper half of a float32
        bits = out.view(np.uint32)
        bits[:] = stored.view(np.uint16)
        bits <<= 16
    elif dtype in ("F8_E4M3", "F8_E5M2"):
        np.take(_values_of_fp8(dtype), stored, out=out)
    else:
        out[:] = stored.view({"F16": np.float16, "F32": np.float32, "F64": np.float64}[dtype])


@functools.cache
def _values_of_fp8(dtype: str) -> NDArray[np.float32]:
    """The value of each of the 256 bytes, from the formats' definition (arXiv:2209.05433).

    Sign, 4 or 5 bits of exponent with bias 7 or 15, mantissa. E4M3 has no infinity, and NaN only
    where all other bits are set; E5M2 follows IEEE 754.
    """
    mantissa_bits, bias = (3, 7) if dtype == "F8_E4M3" else (2, 15)

    def value(byte: int) -> float:
        exponent, mantissa = (byte & 127) >> mantissa_bits, byte & ((1 << mantissa_bits) - 1)
        if dtype == "F8_E4M3" and byte & 127 == 127:
            return math.nan
        if dtype == "F8_E5M2" and exponent == 31:
            return math.nan if mantissa else math.inf
        fraction = mantissa / (1 << mantissa_bits)
        size = fraction * 2.0 ** (1 - bias)  # subnormal
        if exponent:
            size = (1 + fraction) * 2.0 ** (exponent - bias)
        return size

    values: Any = [math.copysign(value(byte), 1 if byte < 128 else -1) for byte in range(256)]
    return np.array(values, np.float32)
