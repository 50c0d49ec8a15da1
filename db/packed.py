"""Long lists in few bytes: scores of items, what was answered, which items were asked.

A study has thousands of them, read whole and never searched.
"""

from __future__ import annotations

import json
import sys
import zlib
from array import array
from collections.abc import Iterable
from typing import Any

LEVEL = 6


def pack_floats(values: Iterable[float]) -> bytes:
    """Float32 numbers, NaN included, little-endian and compressed."""
    numbers = array("f", values)
    if sys.byteorder == "big":
        numbers.byteswap()
    return zlib.compress(numbers.tobytes(), LEVEL)


def unpack_floats(data: bytes) -> array[float]:
    """What `pack_floats` packed; `numpy.asarray` takes it without a copy."""
    numbers = array("f", zlib.decompress(data))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def pack_json(value: Any) -> bytes:
    """Plain data, compressed."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # Half of a surrogate pair, which a model may well write, has no bytes of its own.
    return zlib.compress(text.encode("utf-8", "surrogatepass"), LEVEL)


def unpack_json(data: bytes) -> Any:
    """What `pack_json` packed."""
    return json.loads(zlib.decompress(data).decode("utf-8", "surrogatepass"))
