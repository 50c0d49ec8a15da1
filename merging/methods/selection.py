"""Exact selection of the k-th largest magnitude, without sorting and in bounded memory.

The bits of a non-negative float32 order like the number itself. A histogram over the upper 16 bits
of all magnitudes finds the bin that holds the k-th largest; a second pass over the lower 16 bits of
that bin's members finds the number itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from merging.methods.inputs import WholeTensor

HALF = 16
BINS = 1 << HALF


def kth_largest_magnitude(whole: WholeTensor, k: int) -> list[float]:
    """The k-th largest abs(tau_i) of every task vector of a tensor, exact.

    Args:
        whole: the tensor; read twice.
        k: 1 for the largest, up to the number of elements.

    Returns:
        One magnitude per constituent.
    """
    import numpy as np

    upper = np.zeros((whole.n_models, BINS), dtype=np.int64)
    for block in whole.blocks():
        for model, delta in enumerate(block.deltas):
            upper[model] += _histogram(_bits(delta) >> HALF)
    bins, ranks = zip(*(_find(counts, k) for counts in upper), strict=True)
    lower = np.zeros_like(upper)
    for block in whole.blocks():
        for model, delta in enumerate(block.deltas):
            bits = _bits(delta)
            members = bits[(bits >> HALF) == bins[model]]
            lower[model] += _histogram(members & (BINS - 1))
    found = []
    for model, counts in enumerate(lower):
        low_bits, _ = _find(counts, ranks[model])
        pattern = np.array([bins[model] << HALF | low_bits], dtype=np.uint32)
        found.append(float(pattern.view(np.float32)[0]))
    return found


def _bits(delta: Tensor) -> NDArray[np.uint32]:
    """The bit patterns of abs(delta), `[n]`."""
    import numpy as np

    magnitudes: NDArray[np.float32] = delta.abs().cpu().numpy()
    return magnitudes.view(np.uint32)


def _histogram(values: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """How often each of 0 to 65535 occurs."""
    import numpy as np

    return np.bincount(values, minlength=BINS)


def _find(counts: NDArray[np.int64], rank: int) -> tuple[int, int]:
    """The bin that holds the `rank`-th largest, and its rank within that bin (from 1)."""
    import numpy as np

    above = np.cumsum(counts[::-1])
    place = int(np.searchsorted(above, rank))
    before = int(above[place - 1]) if place else 0
    return BINS - 1 - place, rank - before
