"""One step of a merge by the methods' torch definitions, on a GPU (or any torch device).

Stored bytes are read into page-locked memory, copied to the device as they are, and widened there.
A thread works through whole tensors on a stream of its own, so with a few threads per device one
reads while another's bytes travel and a third's are computed.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from merging.checkpoints.stored import ITEM_BYTES, torch_dtype
from merging.checkpoints.views import View
from merging.methods.inputs import Inputs
from merging.streaming.on_cpu import beyond, copy_equal
from merging.streaming.program import Step
from merging.streaming.sinks import Sink
from merging.streaming.step_tensor import StepTensor
from merging.streaming.stored_rows import not_finite

if TYPE_CHECKING:
    from torch import Tensor

    from merging.health.tally import Tally

# large enough that a kernel's launch costs nothing, small enough for any GPU: with three experts a
# gigabyte in a thread
DEVICE_ELEMENTS = 1 << 24
# reading, travelling, computing
THREADS_PER_DEVICE = 3


class Lane:
    """What one thread has on a device: a stream, and page-locked memory that is used again.

    Args:
        device: torch device.
    """

    def __init__(self, device: str) -> None:
        import torch

        self.device = torch.device(device)
        self.is_cuda = self.device.type == "cuda"
        self._stream = torch.cuda.Stream(self.device) if self.is_cuda else None
        self._host: dict[int, Tensor] = {}

    def stream(self) -> AbstractContextManager[Any]:
        """Within it, work goes to this lane's stream."""
        import torch

        return torch.cuda.stream(self._stream) if self._stream else nullcontext()

    def host(self, slot: int, n_bytes: int) -> Tensor:
        """`[n_bytes]` uint8 in page-locked memory; one for each slot."""
        import torch

        found = self._host.get(slot)
        if found is None or found.numel() < n_bytes:
            found = torch.empty(n_bytes, dtype=torch.uint8, pin_memory=self.is_cuda)
            self._host[slot] = found
        return found[:n_bytes]

    def wait(self) -> None:
        """Until everything on this lane's stream is done."""
        if self._stream is not None:
            self._stream.synchronize()


class DeviceTensor(StepTensor):
    """One tensor of all parents, read to a device chunk by chunk.

    Args:
        step: what to merge.
        lane: of this thread.
        stop: once set, reading raises.
    """

    def __init__(self, step: Step, lane: Lane, stop: threading.Event) -> None:
        super().__init__(step, stop)
        self._lane = lane

    def blocks(self) -> Iterator[Inputs]:
        """The tensor in pieces that never differ between runs, for statistics."""
        return (self.inputs(start, stop) for start, stop in self.spans(DEVICE_ELEMENTS))

    def inputs(self, start: int, stop: int, statistics: Any = None) -> Inputs:
        """What the method is given for elements `start` to `stop`, in float32."""
        self._require_going()
        step = self._step
        views = [*step.models, *([step.base] if step.base is not None else [])]
        # the host's memory is written again only when its last contents have travelled
        self._lane.wait()
        values = [self._values(slot, view, start, stop) for slot, view in enumerate(views)]
        self._check(views, values)
        base = values[-1] if step.base is not None else None
        return self._inputs(values[: len(step.models)], base, (start, stop), statistics)

    def _values(self, slot: int, view: View, start: int, stop: int) -> Tensor:
        """`[stop - start]` float32 on the device."""
        import torch

        dtype = torch.float32 if view.stored is None else torch_dtype(view.stored)
        host = self._lane.host(slot, (stop - start) * dtype.itemsize)
        if view.stored is None:
            view.values_into(start, stop, host.view(torch.float32).numpy())
        else:
            view.read_into(start, stop, host.numpy().data)
        there = host.to(self._lane.device, non_blocking=True)
        # on the CPU it is the same memory, which is used again
        return there.view(dtype).to(torch.float32, copy=not self._lane.is_cuda)

    def _check(self, views: list[View], values: list[Tensor]) -> None:
        """All values are finite, asked of the device once."""
        import torch

        sums = torch.stack([one.sum(dtype=torch.float64) for one in values]).tolist()
        for view, one, total in zip(views, values, sums, strict=True):
            if not math.isfinite(total) and not bool(one.isfinite().all()):
                raise not_finite(view, self._step.name, one)


def merge_step(
    step: Step,
    sink: Sink,
    lane: Lane,
    stop: threading.Event,
    chunk_elements: int | None,
    tally: Tally | None = None,
) -> None:
    """Merge one tensor into the sink.

    Args:
        step: what to merge.
        sink: takes chunks in the output's dtype.
        lane: of this thread.
        stop: once set, reading raises.
        chunk_elements: on the device at a time, per parent.
        tally: told of every chunk.

    Raises:
        ModelError: NaN or infinity in a parent, integer tensors that differ.
        MergeFailure: a result that its dtype cannot hold.
    """
    if step.method is None:
        copy_equal(step, sink, chunk_elements or DEVICE_ELEMENTS)
        return
    tensor = DeviceTensor(step, lane, stop)
    dtype = torch_dtype(step.output.dtype)
    with lane.stream():
        statistics = step.method.observe(tensor, step.options)
        for start, end in tensor.spans(chunk_elements or DEVICE_ELEMENTS):
            inputs = tensor.inputs(start, end, statistics)
            merged = step.method.apply(inputs, step.options)
            narrow = merged.to(dtype)
            if not bool(narrow.isfinite().all()):
                raise beyond(step)
            if tally is not None:
                base = inputs.base_or_none
                tally.add_on_device(
                    step, merged, inputs.models[0] if base is None else base, narrow
                )
            sink.write(step.name, start, narrow)


def bytes_on_device(count: int, elements: int = DEVICE_ELEMENTS) -> int:
    """Device memory of all threads for merging `count` parents, the base included.

    Args:
        count: of the parents.
        elements: of the largest chunk.
    """
    # stored, widened, task vectors; and a few for the result
    per_element = count * (2 * ITEM_BYTES["F32"] + ITEM_BYTES["BF16"]) + 6 * ITEM_BYTES["F32"]
    return THREADS_PER_DEVICE * elements * per_element
