"""One step of a merge on the CPU: chunks that stay in a core's cache, in buffers used again.

A method with a kernel (`merging.kernels`) is computed by it, without torch; any other by its own
definition on torch tensors that share the buffers' memory.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from merging.checkpoints.stored import ITEM_BYTES, torch_name
from merging.checkpoints.views import View
from merging.errors import MergeFailure, ModelError
from merging.kernels import kernel_for
from merging.methods.inputs import BLOCK_ELEMENTS, Inputs, spans
from merging.streaming.buffers import Buffers
from merging.streaming.program import Step
from merging.streaming.sinks import Sink
from merging.streaming.step_tensor import StepTensor
from merging.streaming.stored_rows import StoredRows, not_finite

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from merging.health.tally import Tally
    from merging.kernels.chunks import Chunk

# what a kernel works on at a time; smaller chunks cost more calls than larger ones cost cache
KERNEL_ELEMENTS = 1 << 17


class CpuTensor(StepTensor):
    """One tensor of all parents, read chunk by chunk: what statistics steps are given.

    What a chunk or a block holds is valid until the next one is asked for.

    Args:
        step: what to merge.
        buffers: of this thread.
        stop: once set, reading raises.
        as_stored: whether kernels get bfloat16 as it is, where all parents have that.
    """

    def __init__(
        self, step: Step, buffers: Buffers, stop: threading.Event, *, as_stored: bool = False
    ) -> None:
        super().__init__(step, stop)
        self._buffers = buffers
        self._views = [*step.models, *([] if step.base is None else [step.base])]
        plain = as_stored and {view.stored for view in self._views} == {"BF16"}
        self._stored = StoredRows(self._views, step.name, buffers) if plain else None

    def chunks(self) -> Iterator[Chunk]:
        """The tensor for kernels, in pieces that never differ between runs."""
        return (self.piece(start, stop, keep=True) for start, stop in self.spans(KERNEL_ELEMENTS))

    def blocks(self) -> Iterator[Inputs]:
        """The tensor for torch definitions, in pieces that never differ between runs."""
        return (self.inputs(start, stop) for start, stop in self.spans(BLOCK_ELEMENTS))

    def piece(self, start: int, stop: int, *, keep: bool = False) -> Chunk:
        """Elements `start` to `stop` for a kernel.

        Args:
            start: first element.
            stop: element behind the last.
            keep: the same elements will be asked for once more.
        """
        from merging.kernels.chunks import Chunk

        self._require_going()
        step, count = self._step, self.n_models
        rows: NDArray[Any]
        if self._stored is not None:
            rows = self._stored.get(start, stop, keep=keep)
            out = self._buffers.rows(1, stop - start)[0]
        else:
            rows = self._buffers.rows(len(self._views) + 1, stop - start)
            for row, view in zip(rows, self._views, strict=False):
                self._read(view, start, stop, row)
            out = rows[-1]
        return Chunk(
            models=rows[:count],
            base=None if step.base is None else rows[count],
            weights=step.weights,
            keys=step.keys,
            start=start,
            row_length=self.row_length,
            out=out,
        )

    def inputs(self, start: int, stop: int, statistics: Any = None) -> Inputs:
        """The same elements for a definition in torch."""
        import torch

        chunk = self.piece(start, stop)
        models = [torch.from_numpy(row) for row in chunk.models]
        base = None if chunk.base is None else torch.from_numpy(chunk.base)
        return self._inputs(models, base, (start, stop), statistics)

    def _read(self, view: View, start: int, stop: int, out: NDArray[np.float32]) -> None:
        """Values of a view as float32, all of them finite."""
        from merging.kernels.convert import widen

        if view.stored is None:
            view.values_into(start, stop, out)
            finite = _all_finite(out)
        else:
            buffer = self._buffers.stored((stop - start) * ITEM_BYTES[view.stored])
            view.read_into(start, stop, buffer)
            finite = widen(buffer, view.stored, out)
        if not finite:
            raise not_finite(view, self._step.name, out)


def merge_step(
    step: Step,
    sink: Sink,
    buffers: Buffers,
    stop: threading.Event,
    chunk_elements: int | None,
    tally: Tally | None = None,
) -> None:
    """Merge one tensor into the sink.

    Args:
        step: what to merge.
        sink: takes the bytes in the output's dtype.
        buffers: of this thread.
        stop: once set, reading raises.
        chunk_elements: in memory at a time, per parent; None for what suits the method.
        tally: told of every chunk.

    Raises:
        ModelError: NaN or infinity in a parent, integer tensors that differ.
        MergeFailure: a result that its dtype cannot hold.
    """
    if step.method is None:
        copy_equal(step, sink, chunk_elements or BLOCK_ELEMENTS)
        return
    kernel = kernel_for(step.method.name, step.options)
    tensor = CpuTensor(step, buffers, stop, as_stored=kernel is not None)
    options: Mapping[str, Any] = step.options
    if kernel is not None:
        statistics = kernel.observe(tensor, **options)
        for start, end in tensor.spans(chunk_elements or KERNEL_ELEMENTS):
            chunk = tensor.piece(start, end)
            kernel.merge(chunk, statistics, **options)
            reference = chunk.models[0] if chunk.base is None else chunk.base
            _write(step, sink, buffers, start, chunk.out, reference, tally)
        return
    with _one_torch_thread():
        statistics = step.method.observe(tensor, options)
        for start, end in tensor.spans(chunk_elements or BLOCK_ELEMENTS):
            inputs = tensor.inputs(start, end, statistics)
            merged = step.method.apply(inputs, options)
            reference = inputs.models[0] if inputs.base_or_none is None else inputs.base_or_none
            _write(step, sink, buffers, start, merged.numpy(), reference.numpy(), tally)


def copy_equal(step: Step, sink: Sink, chunk_elements: int) -> None:
    """Pass an integer or boolean tensor through; all parents must have the same values.

    Raises:
        ModelError: they have not.
    """
    views = [view for view in (step.base, *step.models) if view is not None]
    item = ITEM_BYTES[step.output.dtype]
    for start, stop in spans(step.output.n_elements, chunk_elements):
        first, other = bytearray((stop - start) * item), bytearray((stop - start) * item)
        views[0].read_into(start, stop, memoryview(first))
        for view in views[1:]:
            view.read_into(start, stop, memoryview(other))
            if first != other:
                raise ModelError(
                    f"Tensor {step.name} holds whole numbers, which cannot be merged, and they "
                    f"differ between {views[0].label} and {view.label}."
                )
        sink.write_bytes(step.name, start, memoryview(first))


def beyond(step: Step) -> MergeFailure:
    """What to say of a result that its dtype cannot hold."""
    return MergeFailure(
        f"The merge of tensor {step.name} is beyond what {torch_name(step.output.dtype)} can hold. "
        "Use smaller weights or scale, or another dtype."
    )


def _write(
    step: Step,
    sink: Sink,
    buffers: Buffers,
    start: int,
    values: NDArray[np.float32],
    reference: NDArray[Any],
    tally: Tally | None,
) -> None:
    """Hand a chunk of the result to the sink, and what it is beside its reference to the tally.

    `reference` is float32, or bfloat16 as it is stored.
    """
    from merging.kernels import convert

    data = buffers.stored(values.size * ITEM_BYTES[step.output.dtype])
    as_stored = reference.itemsize < values.itemsize
    if as_stored and tally is not None and step.output.dtype == "BF16":
        from merging.health.kernels import narrow_and_count

        sums = tally.sums()
        if not narrow_and_count(values, reference, data, sums):
            raise beyond(step)
        tally.put(step, sums)
    else:
        if not convert.narrow(values, step.output.dtype, data):
            raise beyond(step)
        if tally is not None and as_stored:
            wide = buffers.rows(2, values.size)[1]
            convert.widen(reference, "BF16", wide)
            reference = wide
        if tally is not None:
            tally.add(step, values, reference, data)
    sink.write_bytes(step.name, start, data)


@contextlib.contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Whole tensors side by side scale; torch's own threads in a chunk wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _all_finite(values: NDArray[np.float32]) -> bool:
    import numpy as np

    return bool(np.isfinite(values).all())
