"""Safetensors headers, read and checked by us: a file that lies about itself is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from merging.checkpoints.stored import FLOATS, ITEM_BYTES
from merging.errors import ModelError
from merging.wording import size

# the format's own limit
MAX_HEADER_BYTES = 100_000_000
# the product of the numbers of a longer shape alone would take minutes
MAX_DIMENSIONS = 64
NOWHERE = -1  # offset of a tensor that is computed and lies in no file
DAMAGED = "The file is damaged or incomplete: copy or download it again."


class TensorInfo(NamedTuple):
    """Where a tensor lies.

    Attributes:
        dtype: as the format spells it, such as BF16.
        shape: its dimensions.
        file: the shard.
        offset: of its first byte in the file; NOWHERE where its values are computed.
    """

    dtype: str
    shape: tuple[int, ...]
    file: Path
    offset: int

    @property
    def n_elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """Size in bytes."""
        return self.n_elements * ITEM_BYTES[self.dtype]

    @property
    def is_float(self) -> bool:
        """Whether it is merged rather than passed through."""
        return self.dtype in FLOATS


def read_header(file: Path) -> dict[str, TensorInfo]:
    """The tensors of one safetensors file by name, in the order in which they are stored.

    Raises:
        ModelError: the file cannot be read, or its header does not fit the file.
    """
    try:
        n_file = file.stat().st_size
        with file.open("rb") as stream:
            head = stream.read(8)
            n_header = int.from_bytes(head, "little")
            if len(head) < 8 or n_header > MAX_HEADER_BYTES or 8 + n_header > n_file:
                raise _damaged(file, f"has {size(n_file)}, less than its header announces")
            text = stream.read(n_header)
    except OSError as error:
        raise ModelError(f"{_where(file)} cannot be read: {error.strerror}.") from None
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise _damaged(file, f"has a header that is not valid ({error})") from None
    if not isinstance(header, dict):
        raise _damaged(file, "has a header that is not a table of tensors")
    header.pop("__metadata__", None)
    data_start = 8 + n_header
    tensors = {name: _entry(file, name, entry, data_start) for name, entry in header.items()}
    _check_layout(file, tensors, data_start, n_file)
    return dict(sorted(tensors.items(), key=lambda item: item[1].offset))


def _entry(file: Path, name: str, entry: Any, data_start: int) -> TensorInfo:
    """One checked line of the header."""
    if not isinstance(entry, dict):
        raise _damaged(file, f"describes tensor {name} wrongly")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if isinstance(dtype, str) and dtype not in ITEM_BYTES:
        raise ModelError(
            f"{_where(file)} holds tensor {name} as {dtype}, which cannot be read here: "
            "use an unquantised copy of the model."
        )
    if not (isinstance(dtype, str) and _naturals(shape) and _naturals(offsets, length=2)):
        raise _damaged(file, f"describes tensor {name} wrongly")
    if len(shape) > MAX_DIMENSIONS:
        raise _damaged(file, f"gives tensor {name} {len(shape):,} dimensions")
    info = TensorInfo(dtype, tuple(shape), file, data_start + offsets[0])
    if offsets[1] - offsets[0] != info.n_bytes:
        raise _damaged(
            file,
            f"gives tensor {name} {offsets[1] - offsets[0]} bytes, where its shape and dtype "
            f"need {info.n_bytes}",
        )
    return info


def _check_layout(file: Path, tensors: dict[str, TensorInfo], start: int, end: int) -> None:
    """Tensors must fill the file from the header to its end, without overlap or hole."""
    place = start
    for name, info in sorted(tensors.items(), key=lambda item: (item[1].offset, item[1].n_bytes)):
        if info.offset != place:
            kind = "overlaps another" if info.offset < place else "leaves a hole before it"
            raise _damaged(file, f"has a header in which tensor {name} {kind}")
        place += info.n_bytes
    if place != end:
        relation = "shorter" if end < place else "longer"
        raise _damaged(
            file, f"is {abs(end - place)} bytes {relation} than its header says ({size(place)})"
        )


def _naturals(value: Any, *, length: int | None = None) -> TypeGuard[list[int]]:
    """Whether value is a list of whole numbers from 0 (and below 2^63)."""
    return (
        isinstance(value, list)
        and (length is None or len(value) == length)
        and all(type(item) is int and 0 <= item < 2**63 for item in value)
    )


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys are all different."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{repeated} appears twice")
    return found


def _where(file: Path) -> str:
    """A file as sentences name it: its folder and name, not the whole path."""
    return f"{file.parent.name}/{file.name}"


def _damaged(file: Path, how: str) -> ModelError:
    return ModelError(f"{_where(file)} {how}. {DAMAGED}")
