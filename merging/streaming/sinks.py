"""Where a merged tensor goes, chunk by chunk: into files, or into tensors in memory."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from merging.checkpoints.stored import ITEM_BYTES
from merging.output.layout import OutputTensor, Shard, lay_out, write_index
from merging.output.storing import begin_to_store

if TYPE_CHECKING:
    from torch import Tensor

# bytes of a file that the disk is given at a time while the merge goes on
WINDOW = 8 << 20


class Sink(Protocol):
    """Takes the chunks of a merge."""

    def write(self, name: str, start: int, values: Tensor) -> None:
        """Put `values` `[n]` at flat position `start` of tensor `name`, in the output's dtype."""

    def write_bytes(self, name: str, start: int, data: memoryview) -> None:
        """The same for elements as bytes in memory, which the caller uses again afterwards."""


class BytesSink:
    """A sink that takes bytes: tensors are handed over as those."""

    def write(self, name: str, start: int, values: Tensor) -> None:
        """Put `values` `[n]` at flat position `start` of tensor `name`, in the output's dtype."""
        import torch

        self.write_bytes(name, start, values.cpu().contiguous().view(torch.uint8).numpy().data)

    def write_bytes(self, name: str, start: int, data: memoryview) -> None:
        """The same for elements as bytes in memory, which the caller uses again afterwards."""
        raise NotImplementedError


class FolderSink(BytesSink):
    """Safetensors files of their final size, filled in place. Use as a context manager.

    The files are allocated when it is opened, so that a full disk is known before the work.
    """

    def __init__(
        self,
        folder: Path,
        tensors: Mapping[str, OutputTensor],
        *,
        max_shard_bytes: int,
        metadata: Mapping[str, str],
    ) -> None:
        self._folder = folder
        self._tensors = tensors
        self._shards = lay_out(tensors, max_shard_bytes=max_shard_bytes, metadata=metadata)
        self._places: dict[str, tuple[int, int]] = {}
        self._files: list[int] = []

    def __enter__(self) -> FolderSink:
        try:
            for shard in self._shards:
                self._allocate(shard)
            write_index(self._folder, self._shards, self._tensors)
        except BaseException:
            self._close()
            raise
        return self

    def _allocate(self, shard: Shard) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.open(self._folder / shard.name, flags, 0o666)
        self._files.append(file)
        _reserve(file, shard.n_bytes)
        _write_all(file, memoryview(shard.header), 0)
        for name, offset in shard.offsets.items():
            self._places[name] = (file, offset)

    def write_bytes(self, name: str, start: int, data: memoryview) -> None:
        """Put elements as bytes at flat position `start` of tensor `name`."""
        file, offset = self._places[name]
        place = offset + start * ITEM_BYTES[self._tensors[name].dtype]
        _write_all(file, data, place)
        first, last = place // WINDOW, (place + len(data)) // WINDOW
        if last > first:
            begin_to_store(file, first * WINDOW, (last - first) * WINDOW)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> None:
        while self._files:
            os.close(self._files.pop())


class TensorSink:
    """Tensors in memory, such as the parameters of a live model; filled in place.

    Args:
        tensors: contiguous tensors by name, of the output's shapes and dtypes, on any device.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._flat = {name: tensor.view(-1) for name, tensor in tensors.items()}

    def write(self, name: str, start: int, values: Tensor) -> None:
        """Put `values` `[n]` at flat position `start` of tensor `name`."""
        self._flat[name][start : start + values.numel()].copy_(values)

    def write_bytes(self, name: str, start: int, data: memoryview) -> None:
        """Put elements as bytes at flat position `start` of tensor `name`."""
        import torch

        self.write(name, start, torch.frombuffer(data, dtype=self._flat[name].dtype))


def _reserve(file: int, n_bytes: int) -> None:
    """Give a file its size on the disk, at once where the system can."""
    try:
        os.posix_fallocate(file, 0, n_bytes)
    except AttributeError:  # macOS
        os.ftruncate(file, n_bytes)
    except OSError as error:
        # some file systems cannot reserve space; then a full disk shows while writing
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        os.ftruncate(file, n_bytes)


def _write_all(file: int, data: memoryview, place: int) -> None:
    """Write all of `data` at byte `place`."""
    done = 0
    while done < len(data):
        done += os.pwrite(file, data[done:], place + done)
