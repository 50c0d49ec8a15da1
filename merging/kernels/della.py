"""DELLA: drop by magnitude rank within rows and rescale, then add up or elect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from merging.kernels.chunks import Chunk, Kernel, Whole
from merging.kernels.election import election
from merging.kernels.masks import words_for
from merging.kernels.pruning import add_marked_sizes, mark_rows, prune_and_merge
from merging.kernels.sums import BlockSums
from merging.kernels.weighted import singles
from merging.methods.per_model import PerModel, each
from merging.methods.sums import divided

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCALE = 2**32
NO_MASKS: NDArray[np.uint32] = np.empty((0, 0), dtype=np.uint32)
# masks of larger tensors are found again, so that memory does not grow with the model
MASK_BYTES = 96 << 20


@dataclass(frozen=True)
class Pruning:
    """What DELLA knows of a tensor before it is merged.

    Attributes:
        factors: K factors of what is kept.
        limits: `[K, row]` int64 by rank: an entry is kept when its random number is below.
        divisors: `[K, row]` float32 by rank, what an entry is divided by; `[K, 0]` for nothing.
        masks: `[K, words]` what is kept, a bit per entry and whole words per row, where finding
            the factors has found it out already; else empty.
    """

    factors: Sequence[float]
    limits: NDArray[np.int64]
    divisors: NDArray[np.float32]
    masks: NDArray[np.uint32]


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
    words = whole.n_elements // length * words_for(length) if length else 0
    masks = NO_MASKS
    if 4 * count * words <= MASK_BYTES:
        masks = np.empty((count, words), dtype=np.uint32)
    sums = BlockSums(2 * count, 2 * count)
    for chunk in whole.chunks():
        own, row = _masks(chunk, limits, masks, known=False)
        add_marked_sizes(
            chunk.models,
            chunk.origin,
            length,
            chunk.start,
            whole.n_elements,
            own,
            row,
            sums.space,
            sums.lanes,
        )
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
    masks, row = pruning.masks, 0
    if pruning.divisors.size:
        _check_rows(chunk)
    else:
        masks, row = _masks(chunk, pruning.limits, masks, known=masks.size > 0)
    prune_and_merge(
        chunk.models,
        chunk.origin,
        np.array(chunk.keys, dtype=np.uint64),
        chunk.start,
        pruning.limits,
        pruning.divisors,
        masks,
        row,
        singles(pruning.factors),
        chunk.out,
        *how,
    )


def _masks(
    chunk: Chunk, limits: NDArray[np.int64], masks: NDArray[np.uint32], *, known: bool
) -> tuple[NDArray[np.uint32], int]:
    """The masks of a chunk's rows, found now unless known, and where the first row is in them.

    Args:
        chunk: of whole rows.
        limits: see `Pruning`.
        masks: of the whole tensor, or empty when they shall not be kept.
        known: whether the masks are filled already.
    """
    _check_rows(chunk)
    row = chunk.start // chunk.row_length
    if not masks.size:
        words = chunk.n_elements // chunk.row_length * words_for(chunk.row_length)
        masks, row = np.empty((len(chunk.keys), words), dtype=np.uint32), 0
    if not known:
        keys = np.array(chunk.keys, dtype=np.uint64)
        mark_rows(chunk.models, chunk.origin, keys, chunk.start, limits, masks, row)
    return masks, row


def _check_rows(chunk: Chunk) -> None:
    if chunk.row_length < 1 or chunk.n_elements % chunk.row_length:
        raise ValueError("a chunk for DELLA must consist of whole rows")


KERNELS = {"della_linear": Kernel(della_linear, observe), "della": Kernel(della, observe)}
