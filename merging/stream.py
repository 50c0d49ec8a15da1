"""The one stream everything that merges uses: parents -> method -> sink, chunk by chunk."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from merging.checkpoint import Checkpoint
from merging.errors import MergeFailure, ModelError
from merging.layout import OutputTensor
from merging.methods.draws import Draws, key_of
from merging.methods.inputs import BLOCK_ELEMENTS, Inputs, spans
from merging.parents import Parents
from merging.recipe import Recipe
from merging.sinks import Sink
from merging.stored import torch_dtype, torch_name

if TYPE_CHECKING:
    from torch import Tensor

Event = dict[str, Any]
# a chunk in float32 fits the cache of one core; larger ones are slower, not faster
CHUNK_ELEMENTS = 1 << 18


def merge_tensors(
    parents: Parents,
    sink: Sink,
    *,
    device: str,
    chunk_elements: int = CHUNK_ELEMENTS,
    threads: int = 1,
) -> Iterator[Event]:
    """Merge every tensor of the parents into the sink.

    Args:
        parents: opened, compatible parents, their recipe pinned where masks depend on it.
        sink: takes the chunks in the dtypes of `parents.outputs()`.
        device: torch device to compute on.
        chunk_elements: elements that are in memory at a time, per parent and thread.
        threads: tensors that are merged at the same time on the CPU.

    Yields:
        Progress events, one per finished tensor.

    Raises:
        ModelError: NaN or infinity in a parent, integer tensors that differ.
        MergeFailure: a result that its dtype cannot hold.
    """
    outputs = parents.outputs()
    elements = sum(output.n_elements for output in outputs.values()) or 1

    stop = threading.Event()

    def merge_named(name: str) -> int:
        output = outputs[name]
        if parents.reference.tensors[name].is_float:
            tensor = StoredTensor(parents, name, device, stop)
            _merge_one(parents.recipe, tensor, output, sink, chunk_elements)
        else:
            _copy_equal(parents, name, sink, chunk_elements)
        return output.n_elements

    finished = 0
    workers = threads if device == "cpu" else 1
    for done, count in enumerate(_in_turn(merge_named, list(outputs), workers, stop), 1):
        finished += count
        yield {
            "kind": "progress",
            "stage": "Merging",
            "done": done,
            "total": len(outputs),
            "unit": "tensors",
            "fraction": finished / elements,
        }


def _in_turn(
    work: Callable[[str], int], names: list[str], threads: int, stop: threading.Event
) -> Iterator[int]:
    """Results of `work` in the order of `names`, computed by several threads.

    When the caller goes away, `stop` is set, so that the threads end with their present chunk.

    Every thread computes with one thread of torch: whole tensors side by side scale, where torch's
    own threads inside chunks of this size mostly wait for each other.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if threads <= 1:
            yield from map(work, names)
            return
        pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
        try:
            for future in [pool.submit(work, name) for name in names]:
                yield future.result()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    finally:
        torch.set_num_threads(before)


class StoredTensor:
    """One tensor of all parents: a `WholeTensor` for statistics, and its chunks.

    Args:
        parents: opened parents.
        name: of the tensor.
        device: where chunks are put.
        stop: once set, reading raises.
    """

    def __init__(self, parents: Parents, name: str, device: str, stop: threading.Event) -> None:
        self._parents = parents
        self._stop = stop
        self.name = name
        self._device = device
        shape = parents.reference.tensors[name].shape
        self.n_elements = parents.reference.tensors[name].n_elements
        self.row_length = shape[-1] if shape else 1
        self.n_models = len(parents.constituents)
        recipe = parents.recipe
        self._keys = [
            key_of(recipe.seed, recipe.identity(one.model), name) for one in parents.constituents
        ]
        self._weights = [float(one.weight) for one in parents.constituents]

    def blocks(self) -> Iterator[Inputs]:
        """The tensor in fixed-size blocks, for statistics."""
        for start, stop in self.spans(BLOCK_ELEMENTS):
            yield self.inputs(start, stop)

    def spans(self, size: int) -> Iterator[tuple[int, int]]:
        """(start, stop) of pieces of about `size` elements, as the method may be given them."""
        by_rows = self._parents.recipe.merge_method.by_rows
        return spans(self.n_elements, size, self.row_length if by_rows else 1)

    def inputs(self, start: int, stop: int, statistics: Any = None) -> Inputs:
        """What the method is given for elements `start` to `stop`, in float32."""
        base = self._parents.base
        return Inputs(
            models=[self._values(model, start, stop) for model in self._parents.models],
            base_or_none=None if base is None else self._values(base, start, stop),
            weights=self._weights,
            draws=Draws(self._keys, start, stop - start),
            row_length=self.row_length,
            statistics=statistics,
        )

    def _values(self, parent: Checkpoint, start: int, stop: int) -> Tensor:
        """`[stop - start]` float32, finite."""
        if self._stop.is_set():
            raise CancelledError
        stored = parent.read_flat(self.name, start, stop)
        values = stored.to(self._device).float()
        # a sum is one cheap pass, and is not finite when a value isn't
        if not math.isfinite(values.sum().item()) and not values.isfinite().all():
            kind = "NaN" if values.isnan().any() else "an infinite value"
            raise ModelError(
                f"{parent.label} holds {kind} in tensor {self.name}. Use an intact copy of the "
                "model."
            )
        return values


def _merge_one(
    recipe: Recipe, tensor: StoredTensor, output: OutputTensor, sink: Sink, chunk_elements: int
) -> None:
    """Merge one floating-point tensor."""
    method, options = recipe.merge_method, recipe.options
    dtype = torch_dtype(output.dtype)
    statistics = method.observe(tensor, options)
    for start, stop in tensor.spans(chunk_elements):
        merged = method.apply(tensor.inputs(start, stop, statistics), options).to(dtype)
        if not math.isfinite(merged.float().sum().item()) and not merged.isfinite().all():
            raise MergeFailure(
                f"The merge of tensor {tensor.name} is beyond what {torch_name(output.dtype)} can "
                "hold. Use smaller weights or scale, or another dtype."
            )
        sink.write(tensor.name, start, merged)


def _copy_equal(parents: Parents, name: str, sink: Sink, chunk_elements: int) -> None:
    """Pass an integer or boolean tensor through; all parents must have the same values."""
    reference = parents.reference
    n_elements = reference.tensors[name].n_elements
    for start in range(0, n_elements, chunk_elements):
        stop = min(start + chunk_elements, n_elements)
        values = reference.read_flat(name, start, stop)
        for other in parents.in_order[1:]:
            if not other.read_flat(name, start, stop).equal(values):
                raise ModelError(
                    f"Tensor {name} holds whole numbers, which cannot be merged, and they differ "
                    f"between {reference.label} and {other.label}."
                )
        sink.write(name, start, values)
