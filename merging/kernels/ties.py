"""TIES: trim to the largest magnitudes, elect signs, merge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from merging.kernels.chunks import Chunk, Kernel, Whole
from merging.kernels.compiled import MODELS, VECTOR, inlined
from merging.kernels.election import ELECTION, elect, election
from merging.kernels.rows import of_rows, single
from merging.kernels.selection import kth_largest_magnitudes
from merging.kernels.weighted import BLOCK, place, singles
from merging.methods.per_model import each

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ZERO = np.float32(0.0)


def thresholds(whole: Whole, *, density: float | Sequence[float], **_: Any) -> list[float]:
    """For each expert the smallest magnitude that is kept."""
    n = whole.n_elements
    kept = [max(1, int(share * n)) for share in each(density, whole.n_models)]
    # who keeps everything needs no threshold
    found = kth_largest_magnitudes(whole, [[k] if k < n else [] for k in kept])
    return [ranks[0] if ranks else 0.0 for ranks in found]


def ties(
    chunk: Chunk,
    statistics: Sequence[float],
    *,
    scale: float,
    election_weights: bool,
    normalize: bool,
    **_: Any,
) -> None:
    """`merging.methods.ties`."""
    how = election(chunk.weights, election_weights=election_weights, normalize=normalize)
    trim_and_elect(
        chunk.models,
        chunk.origin,
        singles(statistics),
        scale,
        chunk.out,
        *how.arrays(),
    )


@inlined
def keep_from(model: Any, base: Any, smallest: Any, out: Any) -> None:
    """The task vector with zero for what is smaller."""
    for i in range(base.size):
        delta = single(model, i) - single(base, i)
        out[i] = delta if abs(delta) >= smallest else _ZERO


@of_rows(f"void({MODELS}, {VECTOR}, float32[::1], float32, float32[::1], {ELECTION})")
def trim_and_elect(
    models: NDArray[np.float32],
    base: NDArray[np.float32],
    smallest: NDArray[np.float32],
    scale: float,
    out: NDArray[np.float32],
    votes: NDArray[np.float32],
    coefficients: NDArray[np.float32],
    counts: NDArray[np.float32],
    divide: bool,
) -> None:
    """All of TIES behind the thresholds, block by block."""
    kept = np.empty((models.shape[0], BLOCK), dtype=np.float32)
    for start in range(0, out.size, BLOCK):
        stop = min(start + BLOCK, out.size)
        origin, part = base[start:stop], out[start:stop]
        for k in range(models.shape[0]):
            keep_from(models[k, start:stop], origin, smallest[k], kept[k])
        elect(kept, votes, coefficients, counts, divide, part)
        place(origin, scale, part)


KERNELS = {"ties": Kernel(ties, thresholds)}
