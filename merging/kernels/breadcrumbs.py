"""Breadcrumbs: neither the outliers nor the smallest entries, then add up or elect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from merging.kernels.chunks import Chunk, Kernel, Whole
from merging.kernels.compiled import MODELS, VECTOR, inlined
from merging.kernels.election import ELECTION, elect, election
from merging.kernels.rows import of_rows, single
from merging.kernels.selection import kth_largest_magnitudes
from merging.kernels.weighted import BLOCK, add_to_sum, place, singles, start_sum
from merging.methods.per_model import PerModel, each
from merging.methods.sums import divided

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ZERO = np.float32(0.0)
_LIMITS = "Array(float32, 2, 'C', readonly=True)"
EVERYTHING = [float("inf"), 0.0]


def limits(whole: Whole, *, density: PerModel, gamma: PerModel, **_: Any) -> list[list[float]]:
    """For each expert the largest and the smallest magnitude that is kept."""
    n, ranks = whole.n_elements, []
    for d, g in zip(each(density, whole.n_models), each(gamma, whole.n_models), strict=True):
        kept = min(n, max(1, int(d * n)))
        dropped = min(int(g * n), n - kept)
        # who keeps everything needs no limits
        ranks.append([dropped + 1, dropped + kept] if kept < n else [])
    return [found or EVERYTHING for found in kth_largest_magnitudes(whole, ranks)]


def breadcrumbs(
    chunk: Chunk,
    statistics: Sequence[Sequence[float]],
    *,
    scale: float,
    normalize: bool,
    **_: Any,
) -> None:
    """`merging.methods.breadcrumbs.breadcrumbs`."""
    weights = divided(chunk.weights, normalize=normalize)
    keep_and_add(
        chunk.models,
        chunk.origin,
        np.array(statistics, dtype=np.float32),
        singles(weights),
        scale,
        chunk.out,
    )


def breadcrumbs_ties(
    chunk: Chunk,
    statistics: Sequence[Sequence[float]],
    *,
    scale: float,
    election_weights: bool,
    normalize: bool,
    **_: Any,
) -> None:
    """`merging.methods.breadcrumbs.breadcrumbs_ties`."""
    how = election(chunk.weights, election_weights=election_weights, normalize=normalize)
    keep_and_elect(
        chunk.models,
        chunk.origin,
        np.array(statistics, dtype=np.float32),
        scale,
        chunk.out,
        *how.arrays(),
    )


@inlined
def keep_between(model: Any, base: Any, largest: Any, smallest: Any, out: Any) -> None:
    """The task vector with zero for what is outside of the limits."""
    for i in range(base.size):
        delta = single(model, i) - single(base, i)
        size = abs(delta)
        out[i] = delta if (size >= smallest) & (size <= largest) else _ZERO


@of_rows(f"void({MODELS}, {VECTOR}, {_LIMITS}, float32[::1], float32, float32[::1])")
def keep_and_add(
    models: NDArray[np.float32],
    base: NDArray[np.float32],
    limits: NDArray[np.float32],
    weights: NDArray[np.float32],
    scale: float,
    out: NDArray[np.float32],
) -> None:
    """All of Breadcrumbs behind the limits, block by block."""
    kept = np.empty(BLOCK, dtype=np.float32)
    for start in range(0, out.size, BLOCK):
        stop = min(start + BLOCK, out.size)
        origin, part = base[start:stop], out[start:stop]
        for k in range(models.shape[0]):
            keep_between(models[k, start:stop], origin, limits[k, 0], limits[k, 1], kept)
            if k == 0:
                start_sum(kept, weights[k], part)
            else:
                add_to_sum(kept, weights[k], part)
        place(origin, scale, part)


@of_rows(f"void({MODELS}, {VECTOR}, {_LIMITS}, float32, float32[::1], {ELECTION})")
def keep_and_elect(
    models: NDArray[np.float32],
    base: NDArray[np.float32],
    limits: NDArray[np.float32],
    scale: float,
    out: NDArray[np.float32],
    votes: NDArray[np.float32],
    coefficients: NDArray[np.float32],
    counts: NDArray[np.float32],
    divide: bool,
) -> None:
    """All of Breadcrumbs-TIES behind the limits, block by block."""
    kept = np.empty((models.shape[0], BLOCK), dtype=np.float32)
    for start in range(0, out.size, BLOCK):
        stop = min(start + BLOCK, out.size)
        origin, part = base[start:stop], out[start:stop]
        for k in range(models.shape[0]):
            keep_between(models[k, start:stop], origin, limits[k, 0], limits[k, 1], kept[k])
        elect(kept, votes, coefficients, counts, divide, part)
        place(origin, scale, part)


KERNELS = {
    "breadcrumbs": Kernel(breadcrumbs, limits),
    "breadcrumbs_ties": Kernel(breadcrumbs_ties, limits),
}
