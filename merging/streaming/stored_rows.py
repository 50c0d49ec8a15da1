"""Bfloat16 of all parents of a tensor as it is stored, which kernels widen in registers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from merging.checkpoints.views import TensorView, View
from merging.errors import ModelError
from merging.streaming.buffers import Buffers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class StoredRows:
    """The same consecutive numbers of every parent of a tensor, one row for each.

    What is read in the first pass over a tensor is kept for the later ones, as far as there is
    room: getting it out of memory takes a fifth of reading it again.

    Args:
        views: of the tensor, all of them stored as bfloat16.
        name: the tensor's, for messages.
        buffers: of this thread, which works on one tensor at a time.
    """

    def __init__(self, views: Sequence[View], name: str, buffers: Buffers) -> None:
        self._views = views
        self._name = name
        self._buffers = buffers
        self._places = _places(views)
        # (start, stop) -> what was read
        self._kept: dict[tuple[int, int], NDArray[np.uint16]] = {}
        self._n_kept = 0

    def get(self, start: int, stop: int, *, keep: bool) -> NDArray[np.uint16]:
        """Numbers `start` to `stop` of all views, `[views, stop - start]`, all of them finite.

        Args:
            start: first number.
            stop: number behind the last.
            keep: the same will be asked for once more.

        Raises:
            ModelError: a file changed or cannot be read, or holds NaN or infinity.
        """
        found = self._kept.get((start, stop))
        if found is not None:
            return found
        count, size = len(self._views), stop - start
        kept = self._buffers.kept(self._n_kept, count, size) if keep else None
        rows = self._buffers.bits(count, size) if kept is None else kept
        self._read(start, rows)
        if kept is not None:
            self._kept[start, stop] = kept
            self._n_kept += kept.size
        return rows

    def _read(self, start: int, rows: NDArray[np.uint16]) -> None:
        from merging.kernels.reading import first_not_finite, read_rows

        if self._places is not None and read_rows(*self._places, start, rows):
            return
        # one by one, which also tells what went wrong
        size = rows.shape[1]
        for row, view in zip(rows, self._views, strict=True):
            view.read_into(start, start + size, memoryview(row).cast("B"))
        wrong = first_not_finite(rows)
        if wrong >= 0:
            from merging.kernels.convert import widen

            values = self._buffers.rows(1, size)[0]
            widen(rows[wrong], "BF16", values)
            raise not_finite(self._views[wrong], self._name, values)


def _places(views: Sequence[View]) -> tuple[NDArray[np.int32], NDArray[np.int64]] | None:
    """Descriptors and first bytes of the tensors, where all are plain parts of files."""
    import numpy as np

    found = [one.place if isinstance(one, TensorView) else None for one in views]
    known = [one for one in found if one is not None]
    if len(known) < len(found):
        return None
    return (
        np.array([file for file, _ in known], np.int32),
        np.array([place for _, place in known], np.int64),
    )


def not_finite(view: View, tensor: str, values: Any) -> ModelError:
    """What to say of a parent with values that are no numbers; `values` is an array or a tensor."""
    kind = "NaN" if bool((values != values).any()) else "an infinite value"
    return ModelError(f"{view.label} holds {kind} in tensor {tensor}. Use an intact copy of it.")
