"""One pass over the bytes of all models, in several threads, with bounded memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from merging.checkpoints.checkpoint import Checkpoint
from merging.checkpoints.stored import ITEM_BYTES
from merging.similarity.align import Compared, align
from merging.similarity.result import Similarity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Event = dict[str, Any]
# elements read of each model at a time; with eight models and their base 6 MB a thread
CHUNK = 1 << 17
STAGE = "Comparing weights"
TELL_SECONDS = 0.2


def scan(
    models: Sequence[Checkpoint],
    base: Checkpoint | None = None,
    *,
    threads: int | None = None,
    chunk: int = CHUNK,
) -> Iterator[Event]:
    """Compare models tensor by tensor; nothing is written, every byte is read once.

    Args:
        models: two to eight, or one with a base; opened, adapters and fp8 included. Their tables
            of tensors are changed where some tie their output embedding and others do not.
        base: what the models were made from; with it, task vectors are compared as well.
        threads: that read and compute; default one per core.
        chunk: elements read of each model at a time, rounded to whole blocks; has no influence on
            the result.

    Yields:
        "stage" and "progress" (unit MB), and at last a "result" with `similarity`, a Similarity
        whose participants are the base, if there is one, and the models in the order given.

    Raises:
        ModelError: models that cannot be compared, or a file that cannot be read.
    """
    parents = [*([base] if base else []), *models]
    tensors, notes = align(parents, based=base is not None)
    yield {"kind": "stage", "stage": STAGE}
    work = _Work(parents, signs=base is not None, chunk=chunk)
    total = sum(work.n_bytes(tensor) for tensor in tensors)
    pool = ThreadPoolExecutor(threads or os.cpu_count() or 1, thread_name_prefix="similarity")
    try:
        # the largest first, so that no thread is left with the embeddings at the end
        order = sorted(tensors, key=lambda tensor: -tensor.n_elements)
        futures = {tensor.name: pool.submit(work.sums, tensor) for tensor in order}
        for done in _until_done(futures.values(), work):
            yield {"kind": "progress", "stage": STAGE, "done": done / 1e6, "total": total / 1e6,
                   "unit": "MB"}  # fmt: skip
        found = {name: future.result() for name, future in futures.items()}
    finally:
        work.stop.set()
        pool.shutdown(cancel_futures=True)
    yield {
        "kind": "result",
        "similarity": _collect(parents, tensors, found, notes, base, work.not_finite),
    }


def _until_done(futures: Any, work: _Work) -> Iterator[int]:
    """Bytes read so far, a few times a second; ends early when a thread fails."""
    open_ones: set[Future[Any]] = set(futures)
    while open_ones:
        ended, open_ones = wait(open_ones, TELL_SECONDS, return_when=FIRST_EXCEPTION)
        yield work.n_read
        for one in ended:
            one.result()


class _Work:
    """What the threads share: the models, how much was read, and what was not finite."""

    def __init__(self, parents: Sequence[Checkpoint], *, signs: bool, chunk: int) -> None:
        from merging.similarity.kernels import BLOCK

        self.parents = parents
        self.signs = signs
        self.chunk = -(-chunk // BLOCK) * BLOCK
        self.block = BLOCK
        self.stop = threading.Event()
        self.n_read = 0
        self.not_finite: set[tuple[str, int]] = set()
        self._counting = threading.Lock()
        self._own = threading.local()

    def n_bytes(self, tensor: Compared) -> int:
        """Bytes of a tensor in all models."""
        return sum(tensor.n_elements * self._item_bytes(tensor, one) for one in self.parents)

    def sums(self, tensor: Compared) -> NDArray[np.float64]:
        """The sums of `kernels.add_chunk` over a whole tensor, `[width]`."""
        import numpy as np

        from merging.similarity.kernels import add_chunk, width

        n, others = tensor.n_elements, len(self.parents) - 1
        blocks = np.zeros((-(-n // self.block), width(others, signs=self.signs)))
        values, raw = self._buffers()
        for start in range(0, n, self.chunk):
            stop = min(start + self.chunk, n)
            for index, parent in enumerate(self.parents):
                if self.stop.is_set():
                    return blocks[0]
                if not _fill(parent, tensor.name, start, stop, values[index, : stop - start], raw):
                    self.not_finite.add((tensor.name, index))
                with self._counting:
                    self.n_read += (stop - start) * self._item_bytes(tensor, parent)
            add_chunk(values, stop - start, self.signs, blocks[start // self.block :])
        total: NDArray[np.float64] = blocks.sum(axis=0)
        return total

    def _item_bytes(self, tensor: Compared, parent: Checkpoint) -> int:
        return ITEM_BYTES[parent.tensors[tensor.name].dtype]

    def _buffers(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """This thread's own: values `[parents, chunk]`, and room for one parent's bytes."""
        import numpy as np

        if not hasattr(self._own, "buffers"):
            values = np.zeros((len(self.parents), self.chunk), np.float32)
            self._own.buffers = values, np.zeros(self.chunk * max(ITEM_BYTES.values()), np.uint8)
        buffers: tuple[NDArray[np.float32], NDArray[np.uint8]] = self._own.buffers
        return buffers


def _fill(
    parent: Checkpoint,
    name: str,
    start: int,
    stop: int,
    out: NDArray[np.float32],
    raw: NDArray[np.uint8],
) -> bool:
    """Put a parent's values into `out`; whether all of them are finite."""
    import numpy as np

    from merging.kernels.convert import widen

    dtype = parent.stored(name)
    if dtype is None:  # an adapter's, say: computed on the way
        parent.values_into(name, start, stop, out)
        return bool(np.isfinite(out).all())
    stored = raw[: (stop - start) * ITEM_BYTES[dtype]].data
    parent.read_into(name, start, stop, stored)
    return widen(stored, dtype, out)


def _collect(
    parents: Sequence[Checkpoint],
    tensors: Sequence[Compared],
    found: dict[str, NDArray[np.float64]],
    notes: list[Event],
    base: Checkpoint | None,
    not_finite: set[tuple[str, int]],
) -> Similarity:
    """The sums of all tensors; those of a tensor with a NaN are blank, and it is named."""
    import numpy as np

    sums = np.stack([found[tensor.name] for tensor in tensors])
    for row, tensor in zip(sums, tensors, strict=True):
        holders = [i for i in range(len(parents)) if (tensor.name, i) in not_finite]
        if holders:
            notes.append({"kind": "not finite", "tensor": tensor.name, "models": holders})
            row[:] = np.nan
    return Similarity(
        based=base is not None,
        n_participants=len(parents),
        names=tuple(tensor.name for tensor in tensors),
        shapes=tuple(tensor.shape for tensor in tensors),
        sums=sums,
        notes=tuple(notes),
    )
