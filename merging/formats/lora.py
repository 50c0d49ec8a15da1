"""A LoRA adapter on its base, read as one model: theta = theta_base + scaling * B A.

LoRA: arXiv:2106.09685; rsLoRA: 2312.03732; DoRA: 2402.09353. The finished weights are computed as
they are read and never written anywhere.
"""

from __future__ import annotations

import copy
import math
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from merging.checkpoints.checkpoint import Checkpoint
from merging.checkpoints.folder import read_json
from merging.checkpoints.header import NOWHERE, TensorInfo, read_header
from merging.errors import ModelError
from merging.formats.adapter_config import CONFIG, AdapterConfig, read_adapter_config
from merging.formats.adapter_tensors import Pair, sort_out

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

WEIGHTS = "adapter_model.safetensors"
# finished values are computed in blocks of whole rows of about this many elements. The blocks do
# not depend on what is asked for, so that no chunk size changes a bit of the result
BLOCK_ELEMENTS = 1 << 18
PAIRS_KEPT = 8  # pairs of matrices that stay in memory


class _LowRank(NamedTuple):
    """A pair in memory, turned so that rows of the weight get `left[rows] @ right`.

    left `[rows, r]`, right `[r, columns]`, magnitude `[rows]` or None.
    """

    left: Floats
    right: Floats
    scaling: np.float32
    magnitude: Floats | None


class LoraCheckpoint(Checkpoint):
    """A base and an adapter as one checkpoint.

    Tensors without LoRA are read as they lie in the base; those that the adapter brings whole, in
    the adapter; the others are computed in float32, row by row.

    Args:
        base: the opened base; belongs to this object from now on.
        adapter: opened file of the adapter.
        adapter_config: its config.
        folder: where the adapter lies.
    """

    def __init__(
        self, base: Checkpoint, adapter: Checkpoint, adapter_config: AdapterConfig, folder: Path
    ) -> None:
        self.base = base
        self.adapter = adapter
        self.adapter_config = adapter_config
        known = dict(base.tensors)
        if base.head is not None:
            known.setdefault(base.head[0], base.tensors[base.head[1]])
        self._changes = sort_out(adapter.tensors, known, adapter_config, base.label)
        config = copy.deepcopy(base.config)
        self._settle_heads(config)
        has_tokenizer = any(folder.glob("tokenizer*"))
        super().__init__(
            folder if has_tokenizer else base.folder, config, self._infos(), adapter.label
        )
        self._settle_vocabulary()
        self._pairs: OrderedDict[str, _LowRank] = OrderedDict()
        self._loading = threading.Lock()
        self._last = threading.local()

    @classmethod
    def open_on(cls, base: Checkpoint, folder: Path, *, label: str) -> LoraCheckpoint:
        """Open an adapter's folder on its opened base.

        Raises:
            ModelError: it is damaged, of a kind that cannot be applied, or of another base.
        """
        config = read_adapter_config(folder, label=label)
        return cls(base, open_adapter(folder, label=label), config, folder)

    @property
    def parts(self) -> tuple[Checkpoint, ...]:
        """See `Checkpoint.parts`."""
        return (*self.base.parts, self.adapter)

    @property
    def meaning(self) -> str:
        """See `Checkpoint.meaning`."""
        return f"{self.base.meaning}lora {self.adapter_config.meaning}\n"

    def stored(self, name: str) -> str | None:
        """See `Checkpoint.stored`."""
        name = self._aliases.get(name, name)
        if name in self._changes.pairs or name in self._changes.biases:
            return None
        if name in self._changes.replaced:
            dtype = self.adapter.stored(self._changes.replaced[name])
            return dtype if dtype == self.tensors[name].dtype else None
        return self.base.stored(name)

    def read_into(self, name: str, start: int, stop: int, buffer: memoryview) -> None:
        """See `Checkpoint.read_into`."""
        name = self._aliases.get(name, name)
        if name in self._changes.replaced:
            self.adapter.read_into(self._changes.replaced[name], start, stop, buffer)
        else:
            self.base.read_into(name, start, stop, buffer)

    def values_into(self, name: str, start: int, stop: int, out: Floats) -> None:
        """See `Checkpoint.values_into`."""
        name = self._aliases.get(name, name)
        if name in self._changes.pairs:
            self._blocks_into(name, start, stop, out)
            return
        if name in self._changes.replaced:
            own = self._changes.replaced[name]
            self.adapter.values_into(own, start, stop, out)
            self._require_finite(out, own)
        else:
            self.base.values_into(name, start, stop, out)
        if name in self._changes.biases:
            own, scaling = self._changes.biases[name]
            out += np.float32(scaling) * self._whole(own)[start:stop]

    def close(self) -> None:
        """Close the files of both."""
        self.base.close()
        self.adapter.close()

    def _settle_heads(self, config: dict[str, Any]) -> None:
        """Where only one side of a tied pair is changed, the two are no longer the same tensor."""
        if self.base.head is None or not self.base.is_tied:
            return
        head, embedding = self.base.head
        changed = self._changes.touched & {head, embedding}
        if not changed:
            return
        if embedding in changed and self.adapter_config.keeps_tie:
            self._changes.forget(head)
            return
        self.base.untie()
        for part in (config, config.get("text_config")):
            if isinstance(part, dict) and (part is config or "tie_word_embeddings" in part):
                part["tie_word_embeddings"] = False

    def _infos(self) -> dict[str, TensorInfo]:
        """The finished tensors; those that are computed have no place in a file."""
        infos = dict(self.base.tensors)
        for name in self._changes.touched:
            before = infos[name]
            shape = before.shape
            if name in self._changes.replaced:
                shape = self.adapter.tensors[self._changes.replaced[name]].shape
            infos[name] = TensorInfo(before.dtype, shape, before.file, NOWHERE)
        return infos

    def _settle_vocabulary(self) -> None:
        """An adapter that brings embeddings of its own may bring more rows of them."""
        if self.head is None:
            return
        rows = self.tensors[self.head[1]].shape[0]
        before = self.base.tensors[self.head[1]].shape[0]
        for part in (self.config, self.config.get("text_config")):
            if rows != before and isinstance(part, dict) and "vocab_size" in part:
                part["vocab_size"] = rows

    def _blocks_into(self, name: str, start: int, stop: int, out: Floats) -> None:
        columns = self.tensors[name].shape[1]
        size = max(1, BLOCK_ELEMENTS // max(columns, 1)) * columns
        place = start
        while place < stop:
            index = place // size
            block = self._block(name, index, size)
            inside = place - index * size
            count = min(stop - place, len(block) - inside)
            out[place - start : place - start + count] = block[inside : inside + count]
            place += count

    def _block(self, name: str, index: int, size: int) -> Floats:
        """Finished values of block `index`, `[at most size]`; the last one is kept per thread."""
        if getattr(self._last, "key", None) == (name, index):
            kept: Floats = self._last.block
            return kept
        info = self.tensors[name]
        columns = info.shape[1]
        first, last = index * size, min((index + 1) * size, info.n_elements)
        values = np.empty(last - first, np.float32)
        self.base.values_into(name, first, last, values)
        pair = self._pair(name)
        from merging.kernels.low_rank import add_product  # here: numba is no page's business

        rows = slice(first // columns, last // columns)
        matrix = values.reshape(-1, columns)
        add_product(pair.left[rows], pair.right, pair.scaling, matrix)
        if pair.magnitude is not None:
            norms = np.sqrt(np.square(matrix, dtype=np.float64).sum(axis=1)).astype(np.float32)
            with np.errstate(divide="ignore", invalid="ignore"):
                matrix *= (pair.magnitude[rows] / norms)[:, None]
        self._last.key, self._last.block = (name, index), values
        return values

    def _pair(self, name: str) -> _LowRank:
        with self._loading:
            found = self._pairs.get(name)
            if found is None:
                found = self._load(self._changes.pairs[name])
                self._pairs[name] = found
                if len(self._pairs) > PAIRS_KEPT:
                    self._pairs.popitem(last=False)
            return found

    def _load(self, pair: Pair) -> _LowRank:
        a, b = (
            self._whole(name).reshape(self.adapter.tensors[name].shape) for name in (pair.a, pair.b)
        )
        left, right = (a.T, b.T) if pair.transposed else (b, a)
        return _LowRank(
            np.ascontiguousarray(left),
            np.ascontiguousarray(right),
            np.float32(pair.scaling),
            None if pair.magnitude is None else self._whole(pair.magnitude),
        )

    def _whole(self, name: str) -> Floats:
        """A tensor of the adapter's file, flat, in float32."""
        values = np.empty(self.adapter.tensors[name].n_elements, np.float32)
        self.adapter.values_into(name, 0, len(values), values)
        self._require_finite(values, name)
        return values

    def _require_finite(self, values: Floats, name: str) -> None:
        if not math.isfinite(float(values.sum(dtype=np.float64))):
            kind = "NaN" if np.isnan(values).any() else "an infinite value"
            raise ModelError(
                f"The adapter {self.label} holds {kind} in {name}. Use an intact copy of it."
            )


def open_adapter(folder: Path, *, label: str) -> Checkpoint:
    """The adapter's own file; its `config` is adapter_config.json.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    file = folder / WEIGHTS
    if not file.is_file():
        pickled = (folder / "adapter_model.bin").is_file()
        raise ModelError(
            f"{label} holds its LoRA as a pickle (adapter_model.bin), which can run code when "
            "opened. Agree to its being converted: tick it where you add the model, or pass "
            "--convert-pickle."
            if pickled
            else f"{label} has no {WEIGHTS}. Copy or download the adapter again."
        )
    tensors = read_header(file)
    strange = next((name for name, info in tensors.items() if not info.is_float), None)
    if strange is not None:
        raise ModelError(
            f"{label} holds {strange} as {tensors[strange].dtype}, which is no LoRA that can be "
            "applied here."
        )
    return Checkpoint(folder, read_json(folder / CONFIG, label=label), tensors, label)
