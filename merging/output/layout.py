"""How the tensors of a checkpoint are laid out in safetensors files."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from merging.checkpoints.folder import INDEX, SINGLE
from merging.checkpoints.stored import ITEM_BYTES
from merging.errors import RecipeError


class OutputTensor(NamedTuple):
    """A tensor of the result: dtype as the format spells it, and shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def n_elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """Size in bytes."""
        return self.n_elements * ITEM_BYTES[self.dtype]


@dataclass(frozen=True)
class Shard:
    """One file: its name, its header's bytes, and where each tensor begins in it."""

    name: str
    header: bytes
    offsets: Mapping[str, int]
    n_bytes: int


def read_shard_size(text: str) -> int:
    """Bytes of a size such as `500MB`, `5GB` (powers of ten, as on the Hub) or `2GiB`.

    Raises:
        RecipeError: it is no size, or below a megabyte.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]i?B)\s*", text, re.IGNORECASE)
    if found is None:
        raise RecipeError(f'"{text}" is no size of a file; write 500MB, 5GB or 2GiB.')
    unit = found[2].upper()
    step = 1024 if "I" in unit else 1000
    n_bytes = int(float(found[1]) * step ** (1 + "KMGT".index(unit[0])))
    if n_bytes < 1_000_000:
        raise RecipeError(f"Files of {text} are too small; 1MB is the least.")
    return n_bytes


def lay_out(
    tensors: Mapping[str, OutputTensor], *, max_shard_bytes: int, metadata: Mapping[str, str]
) -> list[Shard]:
    """Distribute tensors over files, in the order given.

    Args:
        tensors: by name.
        max_shard_bytes: of tensor data in a file; a larger tensor gets a file of its own.
        metadata: goes into each header.
    """
    groups: list[list[str]] = [[]]
    filled = 0
    for name, tensor in tensors.items():
        if groups[-1] and filled + tensor.n_bytes > max_shard_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(name)
        filled += tensor.n_bytes
    if len(groups) == 1:
        return [_shard(SINGLE, groups[0], tensors, metadata)]
    return [
        _shard(f"model-{i:05}-of-{len(groups):05}.safetensors", names, tensors, metadata)
        for i, names in enumerate(groups, 1)
    ]


def _shard(
    file: str,
    names: list[str],
    tensors: Mapping[str, OutputTensor],
    metadata: Mapping[str, str],
) -> Shard:
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    places = {}
    place = 0
    # wide elements first, so that every tensor is aligned to its own element size
    for name in sorted(names, key=lambda name: -ITEM_BYTES[tensors[name].dtype]):
        tensor = tensors[name]
        places[name] = place
        header[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [place, place + tensor.n_bytes],
        }
        place += tensor.n_bytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    start = 8 + len(text)
    return Shard(
        name=file,
        header=len(text).to_bytes(8, "little") + text,
        offsets={name: start + offset for name, offset in places.items()},
        n_bytes=start + place,
    )


def write_index(folder: Path, shards: list[Shard], tensors: Mapping[str, OutputTensor]) -> None:
    """The index of a sharded checkpoint; nothing for a single file."""
    if len(shards) == 1:
        return
    index = {
        "metadata": {"total_size": sum(tensor.n_bytes for tensor in tensors.values())},
        "weight_map": {name: shard.name for shard in shards for name in shard.offsets},
    }
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", "utf-8")
