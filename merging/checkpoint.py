"""Checkpoints in a folder: opened by their headers, read piece by piece."""

from __future__ import annotations

import os
import re
import threading
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from merging.errors import ModelError
from merging.folder import check_index, read_json, text_config, weight_files
from merging.header import TensorInfo, read_header
from merging.stored import ITEM_BYTES, torch_dtype, torch_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

# output embedding and the input embedding it may be tied to
HEADS = (
    ("lm_head.weight", "model.embed_tokens.weight"),
    ("lm_head.weight", "transformer.wte.weight"),
    ("embed_out.weight", "gpt_neox.embed_in.weight"),
)


class Checkpoint:
    """A model's folder: config and headers in memory, weights read on demand.

    Reading is by `pread`, not by a memory map: the memory in use stays what was asked for, and a
    file that shrinks meanwhile is an error in words, not a crash. Use as a context manager.

    Attributes:
        folder: where it lies.
        label: what the user calls it, for messages.
        config: the content of config.json.
        tensors: name -> TensorInfo, in a fixed natural order.
    """

    def __init__(
        self, folder: Path, config: dict[str, Any], tensors: dict[str, TensorInfo], label: str
    ) -> None:
        self.folder = folder
        self.label = label
        self.config = config
        self.tensors = tensors
        self._files: dict[Path, int] = {}
        self._opening = threading.Lock()

    @classmethod
    def open(cls, folder: str | Path, *, label: str | None = None) -> Checkpoint:
        """Read config and headers of a folder.

        Args:
            folder: a Hugging Face model folder with safetensors.
            label: what to call it in messages; the folder's name by default.

        Raises:
            ModelError: no such folder, no weights, a damaged or missing shard.
        """
        folder = Path(folder)
        label = label or folder.name
        tensors: dict[str, TensorInfo] = {}
        for file in weight_files(folder, label=label):
            for name, info in read_header(file).items():
                if name in tensors:
                    raise ModelError(
                        f"{label} holds tensor {name} twice, in {tensors[name].file.name} and "
                        f"{file.name}. Keep one set of shards in the folder."
                    )
                tensors[name] = info
        if not tensors:
            raise ModelError(f"{label} has no weights: its safetensors file is empty.")
        check_index(folder, tensors, label)
        ordered = {name: tensors[name] for name in sorted(tensors, key=natural)}
        return cls(folder, read_json(folder / "config.json", label=label), ordered, label)

    @property
    def n_parameters(self) -> int:
        """Elements of all floating-point tensors."""
        return sum(info.n_elements for info in self.tensors.values() if info.is_float)

    @property
    def size_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(info.n_bytes for info in self.tensors.values())

    @property
    def dtype(self) -> str:
        """The dtype that most parameters have, in torch's words: `bfloat16`."""
        counts: Counter[str] = Counter()
        for info in self.tensors.values():
            counts[info.dtype] += info.n_elements
        return torch_name(counts.most_common(1)[0][0])

    @property
    def head(self) -> tuple[str, str] | None:
        """Names of the output embedding and of the input embedding, if there are such."""
        for head, embedding in HEADS:
            if embedding in self.tensors:
                return head, embedding
        return None

    @property
    def is_tied(self) -> bool:
        """Whether the output embedding is the input embedding."""
        if self.head is None:
            return False
        declared = text_config(self.config).get("tie_word_embeddings")
        return declared if isinstance(declared, bool) else self.head[0] not in self.tensors

    def untie(self) -> None:
        """Give a tied model an output embedding of its own, equal to the input embedding."""
        if self.is_tied and self.head is not None:
            self.tensors[self.head[0]] = self.tensors[self.head[1]]

    def read(self, name: str) -> Tensor:
        """A whole tensor in its stored dtype and shape."""
        info = self.tensors[name]
        return self.read_flat(name, 0, info.n_elements).view(info.shape)

    def read_flat(self, name: str, start: int, stop: int) -> Tensor:
        """Elements `start` to `stop` of the flattened tensor, `[stop - start]`, stored dtype.

        Raises:
            ModelError: the file changed or cannot be read.
        """
        import torch

        values = torch.empty(stop - start, dtype=torch_dtype(self.tensors[name].dtype))
        if stop > start:
            self.read_into(name, start, stop, values.view(torch.uint8).numpy().data)
        return values

    def stored(self, name: str) -> str | None:
        """The dtype of a tensor's bytes; None where its values are computed (`values_into`)."""
        return self.tensors[name].dtype

    def values_into(self, name: str, start: int, stop: int, out: NDArray[np.float32]) -> None:
        """Put the values of elements `start` to `stop` into `out` `[stop - start]`.

        For tensors that are not stored; a plain checkpoint has none of them.
        """
        raise NotImplementedError(f"{name} is stored")

    def read_into(self, name: str, start: int, stop: int, buffer: memoryview) -> None:
        """Put the stored bytes of elements `start` to `stop` of the flattened tensor into `buffer`.

        Args:
            name: of the tensor.
            start: first element.
            stop: element behind the last.
            buffer: bytes, `[(stop - start) * item size]`.

        Raises:
            ModelError: the file changed or cannot be read.
        """
        info = self.tensors[name]
        self._pread(buffer, info.file, info.offset + start * ITEM_BYTES[info.dtype])

    def _pread(self, buffer: memoryview, file: Path, offset: int) -> None:
        try:
            with self._opening:
                if file not in self._files:
                    self._files[file] = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            done = 0
            while done < len(buffer):
                count = os.preadv(self._files[file], [buffer[done:]], offset + done)
                if count == 0:
                    raise ModelError(
                        f"{self.label}: {file.name} became shorter while it was read. Copy or "
                        "download it again."
                    )
                done += count
        except OSError as error:
            raise ModelError(
                f"{self.label}: {file.name} cannot be read: {error.strerror}."
            ) from None

    def close(self) -> None:
        """Close the files."""
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def natural(name: str) -> list[tuple[int, str]]:
    """A sort key by which layer 2 comes before layer 10."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)
    ]
