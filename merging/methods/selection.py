"""Exact selection of the k-th largest magnitude, without sorting and in bounded memory.

The bits of a non-negative float32 order like the number itself. A histogram over the upper 16 bits
of all magnitudes finds the bin that holds the k-th largest; a second pass over the lower 16 bits of
that bin's members finds the number itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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
    return [found for (found,) in kth_largest(lambda: (b.deltas for b in whole.blocks()), [k])]


def kth_largest(
    passes: Callable[[], Iterable[Sequence[Tensor]]], ranks: Sequence[int]
) -> list[list[float]]:
    """Magnitudes by rank in each of several tensors that are given block by block, exact.

    Args:
        passes: starts a pass over the blocks; a block is one `[n]` float32 per tensor. Called
            twice.
        ranks: 1 for the largest, up to the number of elements.

    Returns:
        For each tensor the magnitude at every rank.
    """
    import numpy as np

    upper: list[NDArray[np.int64]] = []
    for block in passes():
        upper = upper or [np.zeros(BINS, dtype=np.int64) for _ in block]
        for counts, values in zip(upper, block, strict=True):
            counts += _histogram(_bits(values) >> HALF)
    places = [[_find(counts, rank) for rank in ranks] for counts in upper]
    lower = [[np.zeros(BINS, dtype=np.int64) for _ in ranks] for _ in upper]
    for block in passes():
        for found, counted, values in zip(places, lower, block, strict=True):
            bits = _bits(values)
            for (bin_, _), counts in zip(found, counted, strict=True):
                members = bits[(bits >> HALF) == bin_]
                counts += _histogram(members & (BINS - 1))
    return [
        [
            _number(bin_, _find(counts, rank)[0])
            for (bin_, rank), counts in zip(found, counted, strict=True)
        ]
        for found, counted in zip(places, lower, strict=True)
    ]


def keep_from(delta: Tensor, threshold: float) -> Tensor:
    """Delta `[n]` float32 with what lies below the threshold set to zero, in one pass."""
    import numpy as np
    from torch.nn.functional import hardshrink

    # hardshrink keeps what is strictly larger; so it gets the next smaller float32
    return hardshrink(delta, float(np.nextafter(np.float32(threshold), np.float32(0))))


def _number(upper: int, lower: int) -> float:
    """The float32 of which these are the upper and lower 16 bits."""
    import numpy as np

    pattern = np.array([upper << HALF | lower], dtype=np.uint32)
    return float(pattern.view(np.float32)[0])


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
