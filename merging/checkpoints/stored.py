"""The dtypes of the safetensors format: sizes, and what torch calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# bytes per element of the dtypes that can be read
ITEM_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I16": 2,
    "U16": 2,
    "F16": 2,
    "BF16": 2,
    "I32": 4,
    "U32": 4,
    "F32": 4,
    "I64": 8,
    "U64": 8,
    "F64": 8,
}
# dtypes that are merged; the others are passed through
FLOATS = frozenset({"F16", "BF16", "F32", "F64"})
TORCH_NAMES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "U16": "uint16",
    "I32": "int32",
    "U32": "uint32",
    "I64": "int64",
    "U64": "uint64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
}
STORED_NAMES = {name: stored for stored, name in TORCH_NAMES.items()}


def torch_name(stored: str) -> str:
    """`BF16` -> `bfloat16`."""
    return TORCH_NAMES[stored]


def torch_dtype(stored: str) -> torch.dtype:
    """`BF16` -> `torch.bfloat16`."""
    import torch

    dtype: torch.dtype = getattr(torch, TORCH_NAMES[stored])
    return dtype
