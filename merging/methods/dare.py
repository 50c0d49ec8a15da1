"""Drop and rescale, then add up or elect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from merging.methods.draws import Draws
from merging.methods.election import ElectionWeights, Normalize, elect
from merging.methods.per_model import PerModel, each
from merging.methods.registry import merge_method
from merging.methods.sums import divided, total_magnitude, weighted
from merging.methods.task_arithmetic import DivideBySum, Scale

if TYPE_CHECKING:
    from torch import Tensor

    from merging.methods.inputs import WholeTensor

Density = Annotated[
    PerModel,
    Field(
        title="Density d",
        description="Probability with which an entry of a task vector is kept.",
        ge=0.01,
        le=1,
        json_schema_extra={"step": 0.01},
    ),
]
Rescale = Annotated[
    Literal["1/d", "l1", "none"],
    Field(
        title="Rescale",
        description="1/d is the paper's: the expected task vector stays the same. l1 is "
        "mergekit's: the sum of magnitudes of each tensor stays the same.",
    ),
]


def _factors(whole: WholeTensor, *, density: PerModel, rescale: str, **_: Any) -> list[float]:
    """For each expert the factor of what is kept."""
    densities = each(density, whole.n_models)
    if rescale == "1/d":
        return [1 / d for d in densities]
    if rescale == "none":
        return [1.0] * whole.n_models
    factors = []
    for model, d in enumerate(densities):
        before = total_magnitude(block.deltas[model] for block in whole.blocks())
        after = total_magnitude(
            block.deltas[model] * block.draws.kept(model, d, block.deltas[model])
            for block in whole.blocks()
        )
        factors.append(before / after if after > 0 else 1.0)
    return factors


def _kept(deltas: Sequence[Tensor], draws: Draws, density: PerModel) -> list[Tensor]:
    """The task vectors `[n]` with entries dropped, not rescaled yet."""
    import torch

    return [
        torch.where(draws.kept(model, d, delta), delta, 0.0)
        for model, (delta, d) in enumerate(zip(deltas, each(density, len(deltas)), strict=True))
    ]


@merge_method(title="DARE linear", models=(1, None), paper="2311.03099", statistics=_factors)
def dare_linear(
    base: Tensor,  # [n] float32, weights of the base theta_0
    deltas: Sequence[Tensor],  # K x [n] float32, task vectors theta_i - theta_0
    weights: Sequence[float],  # K coefficients w_i
    draws: Draws,  # random numbers of these elements
    statistics: Sequence[float],  # K rescaling factors, the same for the whole tensor
    *,
    density: Density = 0.5,
    scale: Scale = 1.0,
    rescale: Rescale = "1/d",
    normalize: DivideBySum = False,
) -> Tensor:  # [n] float32, weights of the merge
    """Drop random entries of each task vector, rescale the rest, and add them up.

    When to use: fine-tuned experts with small, redundant changes; not after long pretraining.

    Formula: m_i ~ Bernoulli(d); theta_0 + lambda sum_i w_i m_i tau_i / d. arXiv:2311.03099. The
    masks belong to (seed, model, tensor): neither the order nor another model changes them.
    """
    kept = _kept(deltas, draws, density)
    shares = divided(weights, normalize=normalize)
    factors = [weight * factor for weight, factor in zip(shares, statistics, strict=True)]
    merged = weighted(kept, factors)
    merged *= scale
    merged += base
    return merged


@merge_method(title="DARE-TIES", models=(1, None), paper="2311.03099", statistics=_factors)
def dare_ties(
    base: Tensor,  # [n] float32, weights of the base theta_0
    deltas: Sequence[Tensor],  # K x [n] float32, task vectors theta_i - theta_0
    weights: Sequence[float],  # K coefficients w_i
    draws: Draws,  # random numbers of these elements
    statistics: Sequence[float],  # K rescaling factors, the same for the whole tensor
    *,
    density: Density = 0.5,
    scale: Scale = 1.0,
    rescale: Rescale = "1/d",
    election_weights: ElectionWeights = False,
    normalize: Normalize = True,
) -> Tensor:  # [n] float32, weights of the merge
    """Drop random entries of each task vector, rescale the rest, then elect signs as TIES does.

    When to use: several fine-tuned experts, where TIES' trimming loses small useful changes.

    Formula: m_i ~ Bernoulli(d); tau_i' = m_i tau_i / d; sign = sgn(sum_i tau_i'); theta_0 + lambda
    * (weighted mean of the agreeing tau_i'). arXiv:2311.03099 with arXiv:2306.01708. mergekit's
    form is rescale = l1, election_weights = true, normalize = false.
    """
    kept = _kept(deltas, draws, density)
    shared = len(set(statistics)) == 1
    common = statistics[0] if shared else 1.0
    if not shared:
        kept = [delta * factor for delta, factor in zip(kept, statistics, strict=True)]
    # a factor that all share is applied afterwards: changes that cancel exactly still do then
    merged = elect(kept, weights, election_weights=election_weights, normalize=normalize)
    merged *= common * scale
    merged += base
    return merged
