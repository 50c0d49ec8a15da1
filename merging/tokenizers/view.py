"""A parent's embedding in the row order of the result, read without loading it."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from merging.checkpoints.stored import ITEM_BYTES
from merging.checkpoints.views import View
from merging.tokenizers.rows import MEAN, OWN_MEAN, ZERO, Gather

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

# elements in memory at a time for the mean over all rows
_BLOCK = 1 << 20


class RowsView:
    """A `merging.checkpoints.views.View` of a tensor with one row per token.

    Args:
        label: of the parent whose rows these are.
        inner: parent's number -> its tensor as it is, for every parent that rows come from.
        rows: where each row comes from.
    """

    def __init__(self, label: str, inner: Mapping[int, View], rows: Gather) -> None:
        self._label = label
        self._inner = inner
        self._rows = rows
        behind = {tuple(view.shape[1:]) for view in inner.values()}
        self._behind = behind.pop() if behind else ()
        self._width = math.prod(self._behind)
        self._mean: Floats | None = None
        self._once = threading.Lock()
        sources = rows.sources()
        dtypes = {inner[one].stored for one in sources if one >= 0}
        plain = len(dtypes) == 1 and not sources & {MEAN, OWN_MEAN}
        self._stored = dtypes.pop() if plain else None

    @property
    def label(self) -> str:
        """What the user calls the parent."""
        return self._label

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows of the result, and what a row is."""
        return (len(self._rows), *self._behind)

    @property
    def stored(self) -> str | None:
        """The dtype of the bytes, when all rows are stored ones of one dtype; else None."""
        return self._stored

    def read_into(self, start: int, stop: int, buffer: memoryview) -> None:
        """Put the stored bytes of the flat elements `start` to `stop` into `buffer`."""
        assert self._stored is not None
        item = ITEM_BYTES[self._stored]
        for first, last, parent, offset in self._spans(start, stop):
            part = buffer[(first - start) * item : (last - start) * item]
            if parent == ZERO:
                part[:] = bytes(len(part))
            else:
                self._inner[parent].read_into(offset, offset + last - first, part)

    def values_into(self, start: int, stop: int, out: Floats) -> None:
        """Put the values of the flat elements `start` to `stop` into `out` `[stop - start]`."""
        import numpy as np

        for first, last, parent, offset in self._spans(start, stop):
            part = out[first - start : last - start]
            if parent == ZERO:
                part[:] = 0
            elif parent == OWN_MEAN:
                places = np.arange(first, last) % self._width
                part[:] = self._own_mean()[places]
            elif parent == MEAN:
                self._mean_into(first, last, part)
            else:
                self._inner[parent].values_into(offset, offset + last - first, part)

    def _spans(self, start: int, stop: int) -> list[tuple[int, int, int, int]]:
        """Flat (start, stop, parent, place there) of everything between two elements."""
        width = self._width
        found: list[tuple[int, int, int, int]] = []
        if stop <= start:
            return found
        for piece in self._rows.pieces(start // width, -(-stop // width)):
            first, last = max(start, piece.start * width), min(stop, piece.stop * width)
            offset = first + (piece.row - piece.start) * width
            found.append((first, last, piece.parent, offset))
        return found

    def _mean_into(self, start: int, stop: int, out: Floats) -> None:
        """Means of several parents' rows, one row after another."""
        import numpy as np

        width = self._width
        for row in range(start // width, -(-stop // width)):
            first, last = max(start, row * width), min(stop, (row + 1) * width)
            part = out[first - start : last - start]
            one = np.empty_like(part)
            places = self._rows.means[row]
            part[:] = 0
            for place in places:
                offset = first + (place.row - row) * width
                self._inner[place.parent].values_into(offset, offset + last - first, one)
                part += one
            part /= np.float32(len(places))

    def _own_mean(self) -> Floats:
        """The mean of all rows of tokens, `[width]`, computed once."""
        import numpy as np

        with self._once:
            if self._mean is None:
                n_tokens = self._rows.n_tokens
                total = np.zeros(self._width, dtype=np.float64)
                step = max(1, _BLOCK // self._width)
                for row in range(0, n_tokens, step):
                    count = min(step, n_tokens - row)
                    block = np.empty(count * self._width, dtype=np.float32)
                    self.values_into(row * self._width, (row + count) * self._width, block)
                    total += block.reshape(count, -1).sum(axis=0, dtype=np.float64)
                self._mean = (total / max(1, n_tokens)).astype(np.float32)
            return self._mean
