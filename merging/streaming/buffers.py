"""Memory of one thread of a merge, used again from tensor to tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# of a tensor's parents, stored bytes that are kept from its statistics pass to its merge: reading
# them again would take twice as long as getting them out of memory, and more as they grow
KEPT_BYTES = 48 << 20
# by all threads together, so that many cores do not take much
KEPT_BY_ALL = 192 << 20


class Buffers:
    """Memory of one thread, which grows to the largest chunk it has seen.

    Args:
        threads: how many there are.
    """

    def __init__(self, threads: int = 1) -> None:
        self.kept_bytes = min(KEPT_BYTES, KEPT_BY_ALL // max(threads, 1))
        self._models: NDArray[np.float32] | None = None
        self._bits: NDArray[np.uint16] | None = None
        self._kept: NDArray[np.uint16] | None = None
        self._bytes = bytearray()

    def rows(self, count: int, elements: int) -> NDArray[np.float32]:
        """`[count, elements]` float32, each row contiguous; what was in them is lost."""
        import numpy as np

        self._models = _grown(self._models, count * elements, np.float32)
        return self._models[: count * elements].reshape(count, elements)

    def bits(self, count: int, elements: int) -> NDArray[np.uint16]:
        """The same for bfloat16 as it is stored."""
        import numpy as np

        self._bits = _grown(self._bits, count * elements, np.uint16)
        return self._bits[: count * elements].reshape(count, elements)

    def kept(self, place: int, count: int, elements: int) -> NDArray[np.uint16] | None:
        """The same from a place in the memory that stays until the next tensor.

        Args:
            place: numbers that lie before.
            count: of rows.
            elements: of a row.

        Returns:
            `[count, elements]`, or None where there is no room.
        """
        import numpy as np

        room = self.kept_bytes // np.dtype(np.uint16).itemsize
        if place + count * elements > room:
            return None
        if self._kept is None:
            self._kept = np.empty(room, np.uint16)
        return self._kept[place : place + count * elements].reshape(count, elements)

    def stored(self, n_bytes: int) -> memoryview:
        """Room for bytes as they are on the disk."""
        if len(self._bytes) < n_bytes:
            self._bytes = bytearray(n_bytes)
        return memoryview(self._bytes)[:n_bytes]


def _grown(found: NDArray[Any] | None, size: int, dtype: type[Any]) -> NDArray[Any]:
    """The array, or a new one where it is too small."""
    import numpy as np

    return found if found is not None and found.size >= size else np.empty(size, dtype)
