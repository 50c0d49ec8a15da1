"""Checkpoints in a folder: opened by their headers, read piece by piece."""

from __future__ import annotations

import os
import re
import threading
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from merging.checkpoints.folder import (
    check_index,
    check_links,
    read_json,
    text_config,
    weight_files,
)
from merging.checkpoints.header import TensorInfo, read_header
from merging.checkpoints.stored import ITEM_BYTES, torch_dtype, torch_name
from merging.errors import ModelError

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

    Some models are more than a folder of safetensors: a LoRA adapter on its base, weights in 8-bit
    floats with scales. `open` gives those as subclasses, and they are read in the same ways:

    * `stored(name)` says how the finished values lie in a file; None when they are computed.
    * `read_into` gives the stored bytes, of tensors that are stored.
    * `values_into` gives the finished values as float32 in numpy, of every floating-point tensor.
    * `read_flat` and `read` give either as a torch tensor: stored dtype, or float32 when computed.

    A tensor's `TensorInfo.dtype` is what the model has it as, also where its values are computed.

    Attributes:
        folder: where its config and tokenizer lie.
        label: what the user calls it, for messages.
        config: the content of config.json.
        tensors: name -> TensorInfo, in a fixed natural order.
        in_files: what the files hold; unlike `tensors` it never changes.
    """

    def __init__(
        self, folder: Path, config: dict[str, Any], tensors: dict[str, TensorInfo], label: str
    ) -> None:
        self.folder = folder
        self.label = label
        self.config = config
        self.tensors = tensors
        self.in_files = dict(tensors)
        # tensors that are another one under a second name
        self._aliases: dict[str, str] = {}
        self._files: dict[Path, int] = {}
        self._opening = threading.Lock()

    @classmethod
    def open(
        cls, folder: str | Path, *, label: str | None = None, base: Checkpoint | None = None
    ) -> Checkpoint:
        """Read config and headers of a folder.

        Args:
            folder: a Hugging Face model folder with safetensors, or a PEFT adapter's.
            label: what to call it in messages; the folder's name by default.
            base: the opened base of an adapter; it belongs to the result then.

        Raises:
            ModelError: no such folder, no weights, a damaged or missing shard, an adapter that does
                not fit its base or has none.
        """
        from merging.formats import adapter_config, fp8, lora

        folder = Path(folder)
        label = label or folder.name
        check_links(folder, label=label)
        if adapter_config.is_adapter(folder):
            if base is None:
                raise ModelError(
                    f"{label} is a LoRA adapter and its base is not known here. Give both as "
                    "BASE+ADAPTER."
                )
            return lora.LoraCheckpoint.open_on(base, folder, label=label)
        opened = cls._open_files(folder, label)
        return fp8.Fp8Checkpoint(opened) if fp8.is_fp8(opened.tensors) else opened

    @classmethod
    def _open_files(cls, folder: Path, label: str) -> Checkpoint:
        """The safetensors of a folder as they are."""
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
            self._aliases[self.head[0]] = self.head[1]

    @property
    def parts(self) -> tuple[Checkpoint, ...]:
        """The checkpoints of plain files that this one is made of."""
        return (self,)

    @property
    def meaning(self) -> str:
        """What besides the files' bytes decides the values; empty for plain files."""
        return ""

    def stored(self, name: str) -> str | None:
        """The dtype in which the finished values lie in a file, or None: they are computed."""
        return self.tensors[name].dtype

    def read(self, name: str) -> Tensor:
        """A whole tensor in its shape; its dtype as `read_flat` says."""
        info = self.tensors[name]
        return self.read_flat(name, 0, info.n_elements).view(info.shape)

    def read_flat(self, name: str, start: int, stop: int) -> Tensor:
        """Elements `start` to `stop` of the flattened tensor, `[stop - start]`.

        Returns:
            In the stored dtype; float32 where the values are computed.

        Raises:
            ModelError: the file changed or cannot be read.
        """
        import torch

        stored = self.stored(name)
        values = torch.empty(stop - start, dtype=torch_dtype(stored or "F32"))
        if stop > start and stored is None:
            self.values_into(name, start, stop, values.numpy())
        elif stop > start:
            self.read_into(name, start, stop, values.view(torch.uint8).numpy().data)
        return values

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
        self.read_file(self.tensors[name], start, buffer)

    def read_file(self, info: TensorInfo, start: int, buffer: memoryview) -> None:
        """As `read_into`, for a tensor given by where it lies."""
        self._pread(buffer, info.file, info.offset + start * ITEM_BYTES[info.dtype])

    def place(self, name: str) -> tuple[int, int] | None:
        """Descriptor of the file and place of a tensor's first byte there, as `read_into` reads it.

        None where it takes more than that, or where the file cannot be opened.
        """
        if type(self).read_into is not Checkpoint.read_into:
            return None
        info = self.tensors[name]
        try:
            return self._opened(info.file), info.offset
        except OSError:
            return None

    def values_into(self, name: str, start: int, stop: int, out: NDArray[np.float32]) -> None:
        """Put the values of elements `start` to `stop` of the flattened tensor into `out`.

        Args:
            name: of a floating-point tensor.
            start: first element.
            stop: element behind the last.
            out: `[stop - start]`, contiguous.

        Raises:
            ModelError: the file changed or cannot be read; what the values are computed from is
                not finite.
        """
        import numpy

        from merging.formats.widen import widen_into

        dtype = self.tensors[name].dtype
        stored = numpy.empty((stop - start) * ITEM_BYTES[dtype], numpy.uint8)
        self.read_into(name, start, stop, stored.data)
        widen_into(stored, dtype, out)

    def _pread(self, buffer: memoryview, file: Path, offset: int) -> None:
        try:
            descriptor, done = self._opened(file), 0
            while done < len(buffer):
                count = os.preadv(descriptor, [buffer[done:]], offset + done)
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

    def _opened(self, file: Path) -> int:
        """Descriptor of a file, opened if need be."""
        with self._opening:
            if file not in self._files:
                self._files[file] = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            return self._files[file]

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
