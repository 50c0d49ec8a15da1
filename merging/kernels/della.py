"""DELLA: drop by magnitude rank within rows and rescale, then add up or elect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from merging.kernels.chunks import Chunk, Kernel, Whole
from merging.kernels.election import election
from merging.kernels.pruning import add_pruned_sizes, mask_bytes, prune_and_merge
from merging.kernels.sums import RowSums
from merging.kernels.weighted import singles
from merging.methods.per_model import PerModel, each
from merging.methods.sums import divided

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCALE = 2**32
NO_MASKS: NDArray[np.uint8] = np.empty((0, 0), dtype=np.uint8)


@dataclass(frozen=True)
class Pruning:
    """What DELLA knows of a tensor before it is merged.

    Attributes:
        factors: K factors of what is kept.
        limits: `[K, row]` int64 by rank: an entry is kept when its random number is below.
        divisors: `[K, row]` float32 by rank, what an entry is divided by; `[K, 0]` for nothing.
        masks: `[K, bytes]` what is kept, a bit per entry and whole bytes per row, where finding
            the factors has found it out already; else empty.
    """

    factors: Sequence[float]
    limits: NDArray[np.int64]
    divisors: NDArray[np.float32]
    masks: NDArray[np.uint8]


def observe(
    whole: Whole, *, density: PerModel, epsilon: PerModel, rescale: str, **_: Any
) -> Pruning:
    """The keep-probabilities by rank, and the factors when the sums of magnitudes shall stay."""
    count, length = whole.n_models, whole.row_length
    spread = zip(each(density, count), each(epsilon, count), strict=True)
    probabilities = np.array([by_rank(length, d, e) for d, e in spread])
    limits = np.rint(probabilities * SCALE).astype(np.int64)
    divisors = probabilities.astype(np.float32)[:, : length if rescale == "1/p" else 0]
    divisors = np.ascontiguousarray(divisors)
    if rescale != "l1":
        return Pruning([1.0] * count, limits, divisors, NO_MASKS)
    rows = whole.n_elements // length if length else 0
    masks = np.zeros((count, rows * mask_bytes(length)), dtype=np.uint8)
    sums = RowSums(2 * count)
    for chunk in whole.chunks():
        _check_rows(chunk)
        room = sums.room(chunk)
        keys = np.array(chunk.keys, dtype=np.uint64)
        add_pruned_sizes(
            chunk.models, chunk.origin, keys, chunk.start, limits, masks, sums.lanes, room
        )
        sums.add(room)
    totals = sums.totals()
    pairs = zip(totals[:count], totals[count:], strict=True)
    factors = [before / after if after > 0 else 1.0 for before, after in pairs]
    return Pruning(factors, limits, divisors, masks)


def by_rank(row_length: int, density: float, epsilon: float) -> NDArray[np.float64]:
    """Keep-probability of each rank of a row, 0 the smallest magnitude, `[row_length]`."""
    ranks = np.arange(row_length, dtype=np.float64)
    # a row of one entry has neither a smallest nor a largest: it gets the mean
    share = ranks / (row_length - 1) if row_length > 1 else ranks + 0.5
    return np.minimum(density - epsilon / 2 + epsilon * share, 1.0)


def della_linear(
    chunk: Chunk, statistics: Pruning, *, scale: float, normalize: bool, **_: Any
) -> None:
    """`merging.methods.della.della_linear`."""
    how = election(chunk.weights, election_weights=False, normalize=False)
    weights = divided(chunk.weights, normalize=normalize)
    _merge(chunk, statistics, singles(weights), False, scale, *how.arrays())


def della(
    chunk: Chunk,
    statistics: Pruning,
    *,
    scale: float,
    election_weights: bool,
    normalize: bool,
    **_: Any,
) -> None:
    """`merging.methods.della.della`."""
    how = election(chunk.weights, election_weights=election_weights, normalize=normalize)
    _merge(chunk, statistics, singles(chunk.weights), True, scale, *how.arrays())


def _merge(chunk: Chunk, pruning: Pruning, *how: Any) -> None:
    _check_rows(chunk)
    prune_and_merge(
        chunk.models,
        chunk.origin,
        np.array(chunk.keys, dtype=np.uint64),
        chunk.start,
        pruning.limits,
        pruning.divisors,
        pruning.masks,
        singles(pruning.factors),
        chunk.out,
        *how,
    )


def _check_rows(chunk: Chunk) -> None:
    if chunk.row_length < 1 or chunk.n_elements % chunk.row_length:
        raise ValueError("a chunk for DELLA must consist of whole rows")


KERNELS = {"della_linear": Kernel(della_linear, observe), "della": Kernel(della, observe)}
