"""Trim, elect sign, merge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from merging.methods.election import ElectionWeights, Normalize, elect
from merging.methods.per_model import PerModel, each
from merging.methods.registry import merge_method
from merging.methods.selection import keep_from, kth_largest_magnitude
from merging.methods.task_arithmetic import Scale

if TYPE_CHECKING:
    from torch import Tensor

    from merging.methods.inputs import WholeTensor


def _thresholds(whole: WholeTensor, *, density: PerModel, **_: Any) -> list[float]:
    """For each expert the smallest magnitude that is kept."""
    n = whole.n_elements
    kept = [min(n, max(1, int(d * n))) for d in each(density, whole.n_models)]
    if all(k == n for k in kept):
        return [0.0] * whole.n_models
    return kth_largest_magnitude(whole, kept)


@merge_method(title="TIES", models=(1, None), paper="2306.01708", statistics=_thresholds)
def ties(
    base: Tensor,  # [n] float32, weights of the base theta_0
    deltas: Sequence[Tensor],  # K x [n] float32, task vectors theta_i - theta_0
    weights: Sequence[float],  # K coefficients w_i
    statistics: Sequence[float],  # K thresholds, the same for the whole tensor
    *,
    density: Annotated[
        PerModel,
        Field(
            title="Density d",
            description="Share of each task vector that is kept: the largest magnitudes.",
            ge=0.01,
            le=1,
            json_schema_extra={"step": 0.01},
        ),
    ] = 0.2,
    scale: Scale = 1.0,
    election_weights: ElectionWeights = False,
    normalize: Normalize = True,
) -> Tensor:  # [n] float32, weights of the merge
    """Keep the largest changes of each expert, elect a sign per weight, average who agrees.

    When to use: several experts whose changes contradict each other.

    Formula: tau_i trimmed to its k = max(1, int(d n)) largest magnitudes per tensor; sign =
    sgn(sum_i tau_i); theta_0 + lambda * (weighted mean of the agreeing tau_i). arXiv:2306.01708.
    The threshold is exact, the k-th largest magnitude of the whole tensor; all entries equal to
    it are kept, as in the paper's code, so a few more than k may stay. A factor common to
    all weights cancels in the mean: use the scale for strength.
    """
    trimmed = [keep_from(*pair) for pair in zip(deltas, statistics, strict=True)]
    merged = elect(trimmed, weights, election_weights=election_weights, normalize=normalize)
    merged *= scale
    merged += base
    return merged
