"""Exact selection of the k-th largest magnitude, without sorting and in bounded memory.

The bits of a non-negative float32 order like the number itself. A histogram over the upper 16 bits
of all magnitudes finds the bin that holds the k-th largest; a second pass over the lower 16 bits of
that bin's members finds the number itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from merging.methods.inputs import WholeTensor

HALF = 16
BINS = 1 << HALF
TOP_BIT = 1 << 31


def kth_largest_magnitude(whole: WholeTensor, ranks: Sequence[int]) -> list[float]:
    """The k-th largest abs(tau_i) of every task vector of a tensor, exact.

    Args:
        whole: the tensor; read twice.
        ranks: one k per constituent, 1 for the largest, up to the number of elements.

    Returns:
        One magnitude per constituent.
    """
    found = kth_largest(lambda: (b.deltas for b in whole.blocks()), [[rank] for rank in ranks])
    return [magnitude for (magnitude,) in found]


def kth_largest(
    passes: Callable[[], Iterable[Sequence[Tensor]]],
    ranks: Sequence[Sequence[int]],
    *,
    signed: bool = False,
) -> list[list[float]]:
    """Magnitudes by rank in each of several tensors that are given block by block, exact.

    The counting is done on the blocks' device; of each tensor only the counts leave it.

    Args:
        passes: starts a pass over the blocks; a block is one `[n]` float32 per tensor. Called
            twice.
        ranks: for each tensor, 1 for the largest, up to the number of elements.
        signed: order the numbers themselves and not their magnitudes.

    Returns:
        For each tensor what is at every one of its ranks.
    """
    bits_of = _signed_bits if signed else _bits
    upper: list[Tensor] = []
    for block in passes():
        found = [_histogram(bits_of(values) >> HALF) for values in block]
        upper = [old + new for old, new in zip(upper, found, strict=True)] if upper else found
    places = [
        [_find(counts, rank) for rank in wanted]
        for counts, wanted in zip(upper, ranks, strict=True)
    ]
    lower = [
        {bin_: 0 * counts for bin_, _ in wanted}
        for counts, wanted in zip(upper, places, strict=True)
    ]
    for block in passes():
        for counted, values in zip(lower, block, strict=True):
            bits = bits_of(values)
            for bin_, counts in counted.items():
                counts += _histogram(bits[bits >> HALF == bin_] & (BINS - 1))
    return [
        [_number(bin_ << HALF | _find(counted[bin_], rank)[0], signed) for bin_, rank in wanted]
        for wanted, counted in zip(places, lower, strict=True)
    ]


def keep_from(delta: Tensor, threshold: float) -> Tensor:
    """Delta `[n]` float32 with what lies below the threshold set to zero, in one pass."""
    import numpy as np
    from torch.nn.functional import hardshrink

    # hardshrink keeps what is strictly larger; so it gets the next smaller float32
    return hardshrink(delta, float(np.nextafter(np.float32(threshold), np.float32(0))))


def _number(bits: int, signed: bool) -> float:
    """The float32 that has these bits in `_bits` or `_signed_bits`."""
    import numpy as np

    if signed:
        bits = bits ^ TOP_BIT if bits & TOP_BIT else ~bits & (2 * TOP_BIT - 1)
    return float(np.array([bits], dtype=np.uint32).view(np.float32)[0])


def _bits(values: Tensor) -> Tensor:
    """`[n]` int32, on their device: bit patterns of the magnitudes, which order as those do."""
    import torch

    return values.abs().view(torch.int32)


def _signed_bits(values: Tensor) -> Tensor:
    """`[n]` int64 from 0 to 2^32 - 1, which order as the numbers themselves do."""
    import torch

    bits = values.view(torch.int32).long()
    return torch.where(bits < 0, -1 - bits, bits + TOP_BIT)


def _histogram(values: Tensor) -> Tensor:
    """`[BINS]` int64: how often each of 0 to 65535 occurs among whole numbers `[n]`."""
    import torch

    return torch.bincount(values, minlength=BINS)


def _find(counts: Tensor, rank: int) -> tuple[int, int]:
    """The bin that holds the `rank`-th largest, and its rank within that bin (from 1)."""
    import numpy as np

    above = np.cumsum(counts.cpu().numpy()[::-1])
    place = int(np.searchsorted(above, rank))
    before = int(above[place - 1]) if place else 0
    return BINS - 1 - place, rank - before
