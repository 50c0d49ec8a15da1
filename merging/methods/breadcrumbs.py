"""Keep the middle of each task vector: neither its outliers nor its smallest entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from merging.methods.election import ElectionWeights, Normalize, elect
from merging.methods.per_model import PerModel, each
from merging.methods.registry import merge_method
from merging.methods.selection import keep_from, kth_largest
from merging.methods.sums import divided, weighted
from merging.methods.task_arithmetic import DivideBySum, Scale

if TYPE_CHECKING:
    from torch import Tensor

    from merging.methods.inputs import WholeTensor

Density = Annotated[
    PerModel,
    Field(
        title="Density d",
        description="Share of each task vector that is kept, after its outliers are gone.",
        ge=0.01,
        le=1,
        json_schema_extra={"step": 0.01},
    ),
]
Gamma = Annotated[
    PerModel,
    Field(
        title="Outliers γ",
        description="Share of each task vector that is dropped for being the largest; at most "
        "what the density leaves.",
        ge=0,
        le=0.5,
        json_schema_extra={"step": 0.01},
    ),
]


def _limits(
    whole: WholeTensor, *, density: PerModel, gamma: PerModel, **_: Any
) -> list[list[float]]:
    """For each expert the largest and the smallest magnitude that is kept."""
    n, ranks = whole.n_elements, []
    for d, g in zip(each(density, whole.n_models), each(gamma, whole.n_models), strict=True):
        kept = min(n, max(1, int(d * n)))
        dropped = min(int(g * n), n - kept)
        ranks.append([dropped + 1, dropped + kept])
    if all(rank == [1, n] for rank in ranks):
        return [[float("inf"), 0.0]] * whole.n_models
    return kth_largest(lambda: (block.deltas for block in whole.blocks()), ranks)


def _between(deltas: Sequence[Tensor], limits: Sequence[Sequence[float]]) -> list[Tensor]:
    """The task vectors `[n]` with entries outside of their limits set to zero."""
    return [
        keep_from(delta, smallest).masked_fill_(delta.abs() > largest, 0.0)
        for delta, (largest, smallest) in zip(deltas, limits, strict=True)
    ]


@merge_method(title="Breadcrumbs", models=(1, None), paper="2312.06795", statistics=_limits)
def breadcrumbs(
    base: Tensor,  # [n] float32, weights of the base theta_0
    deltas: Sequence[Tensor],  # K x [n] float32, task vectors theta_i - theta_0
    weights: Sequence[float],  # K coefficients w_i
    statistics: Sequence[Sequence[float]],  # K x (largest, smallest) magnitude that is kept
    *,
    density: Density = 0.5,
    gamma: Gamma = 0.01,
    scale: Scale = 1.0,
    normalize: DivideBySum = False,
) -> Tensor:  # [n] float32, weights of the merge
    """Drop the largest and the smallest changes of each expert, and add up the rest.

    When to use: many experts, where a few extreme changes of each spoil the sum.

    Formula: m_i keeps, of the n entries of tau_i in a tensor, k = max(1, int(d n)) by magnitude,
    after the int(gamma n) largest (fewer when d + gamma > 1); theta_0 + lambda sum_i w_i m_i tau_i.
    Model Breadcrumbs, arXiv:2312.06795. Entries equal to a limit are all kept.
    """
    shares = divided(weights, normalize=normalize)
    merged = weighted(_between(deltas, statistics), shares)
    merged *= scale
    merged += base
    return merged


@merge_method(title="Breadcrumbs-TIES", models=(1, None), paper="2312.06795", statistics=_limits)
def breadcrumbs_ties(
    base: Tensor,  # [n] float32, weights of the base theta_0
    deltas: Sequence[Tensor],  # K x [n] float32, task vectors theta_i - theta_0
    weights: Sequence[float],  # K coefficients w_i
    statistics: Sequence[Sequence[float]],  # K x (largest, smallest) magnitude that is kept
    *,
    density: Density = 0.5,
    gamma: Gamma = 0.01,
    scale: Scale = 1.0,
    election_weights: ElectionWeights = False,
    normalize: Normalize = True,
) -> Tensor:  # [n] float32, weights of the merge
    """Drop the largest and smallest changes of each expert, then elect signs as TIES does.

    When to use: experts whose changes contradict each other and have extreme outliers.

    Formula: tau_i' = m_i tau_i as in breadcrumbs; sign = sgn(sum_i tau_i'); theta_0 + lambda *
    (weighted mean of the agreeing tau_i'). arXiv:2312.06795 with arXiv:2306.01708. mergekit's form
    is election_weights = true, normalize = false.
    """
    kept = _between(deltas, statistics)
    merged = elect(kept, weights, election_weights=election_weights, normalize=normalize)
    merged *= scale
    merged += base
    return merged
