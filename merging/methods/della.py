"""Drop by magnitude rank and rescale, then add up or elect."""

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
        description="Mean probability with which an entry of a task vector is kept.",
        ge=0.01,
        le=1,
        json_schema_extra={"step": 0.01},
    ),
]
Epsilon = Annotated[
    PerModel,
    Field(
        title="Spread ε",
        description="Within each row the keep-probability rises with the magnitude's rank from "
        "d - ε/2 to d + ε/2 (at most 1). ε is the whole spread, twice mergekit's.",
        ge=0,
        le=1,
        json_schema_extra={"step": 0.01},
    ),
]
Rescale = Annotated[
    Literal["1/p", "l1", "none"],
    Field(
        title="Rescale",
        description="1/p is the paper's: each entry is divided by its own keep-probability. l1 is "
        "mergekit's: the sum of magnitudes of each tensor stays the same.",
    ),
]


def _check(
    weights: Sequence[float], *, density: PerModel, epsilon: PerModel, **_: Any
) -> str | None:
    for d, e in zip(each(density, len(weights)), each(epsilon, len(weights)), strict=True):
        if d - e / 2 <= 0:
            return (
                f"With density {d:g} and epsilon {e:g} the smallest entries would be kept with "
                f"probability {d - e / 2:g}: choose an epsilon below {2 * d:g}."
            )
    return None


def _pruned(
    model: int, delta: Tensor, draws: Draws, row_length: int, density: float, epsilon: float
) -> tuple[Tensor, Tensor]:
    """What of a task vector's rows is kept, and the keep-probabilities.

    Args:
        model: position of the constituent.
        delta: `[n]` float32, whole rows.
        draws: random numbers of these elements.
        row_length: elements of a row.
        density: mean keep-probability.
        epsilon: from the smallest to the largest.

    Returns:
        `[n]` float32 with entries set to zero, `[n]` float64 probabilities.
    """
    import torch

    last = max(row_length - 1, 1)
    ranks = torch.arange(row_length, dtype=torch.float64, device=delta.device)
    # a row of one entry has neither a smallest nor a largest: it gets the mean
    share = ranks / last if row_length > 1 else ranks + 0.5
    by_rank = (density - epsilon / 2 + epsilon * share).clamp_(max=1.0)
    rows = delta.view(-1, row_length)
    # stable: equal magnitudes are ranked by their position, on every device
    order = rows.abs().argsort(dim=1, stable=True)
    found = torch.empty(rows.shape, dtype=torch.float64, device=delta.device)
    found.scatter_(1, order, by_rank.expand_as(found))
    found = found.flatten()
    return torch.where(draws.kept_by(model, found), delta, 0.0), found


def _factors(
    whole: WholeTensor, *, density: PerModel, epsilon: PerModel, rescale: str, **_: Any
) -> list[float]:
    """For each expert the factor of what is kept, the same for the whole tensor."""
    if rescale != "l1":
        return [1.0] * whole.n_models
    factors = []
    spread = zip(each(density, whole.n_models), each(epsilon, whole.n_models), strict=True)
    for model, (d, e) in enumerate(spread):
        before = total_magnitude(block.deltas[model] for block in whole.blocks())
        after = total_magnitude(
            kept
            for block in whole.blocks()
            for kept, _ in [
                _pruned(model, block.deltas[model], block.draws, block.row_length, d, e)
            ]
        )
        factors.append(before / after if after > 0 else 1.0)
    return factors


def _rescaled(
    deltas: Sequence[Tensor],
    draws: Draws,
    row_length: int,
    factors: Sequence[float],
    *,
    density: PerModel,
    epsilon: PerModel,
    rescale: str,
) -> list[Tensor]:
    """The task vectors `[n]`, pruned and rescaled."""
    kept = []
    count = len(deltas)
    given = zip(deltas, factors, each(density, count), each(epsilon, count), strict=True)
    for model, (delta, factor, d, e) in enumerate(given):
        pruned, probabilities = _pruned(model, delta, draws, row_length, d, e)
        kept.append(pruned / probabilities.float() if rescale == "1/p" else pruned * factor)
    return kept


@merge_method(
    title="DELLA linear", models=(1, None), paper="2406.11617", statistics=_factors, check=_check
)
def della_linear(
    base: Tensor,  # [n] float32, weights of the base theta_0
    deltas: Sequence[Tensor],  # K x [n] float32, task vectors theta_i - theta_0
    weights: Sequence[float],  # K coefficients w_i
    draws: Draws,  # random numbers of these elements
    row_length: int,  # elements of a row; n is a multiple
    statistics: Sequence[float],  # K rescaling factors, the same for the whole tensor
    *,
    density: Density = 0.5,
    epsilon: Epsilon = 0.3,
    scale: Scale = 1.0,
    rescale: Rescale = "1/p",
    normalize: DivideBySum = False,
) -> Tensor:  # [n] float32, weights of the merge
    """Drop entries at random, the small ones of each row more often, rescale, and add up.

    When to use: as DARE linear, where the large changes matter more than the small ones.

    Formula: p_ij = min(1, d - epsilon/2 + epsilon r_ij / (n - 1)) with r_ij the rank (0 the
    smallest) of abs(tau_ij) among the n of its row; m_ij ~ Bernoulli(p_ij); theta_0 + lambda
    sum_i w_i m_i tau_i / p_i. DELLA's MagPrune, arXiv:2406.11617; a tensor of one dimension is one
    row, and a row of one entry has p = d. Unless cut at 1, the mean of p over a row is d. Masks
    belong to (seed, model, tensor). The paper's epsilon is the whole spread, half of it to either
    side, as the authors' code takes half its window; mergekit's epsilon is that half.
    """
    kept = _rescaled(
        deltas, draws, row_length, statistics, density=density, epsilon=epsilon, rescale=rescale
    )
    merged = weighted(kept, divided(weights, normalize=normalize))
    merged *= scale
    merged += base
    return merged


@merge_method(
    title="DELLA", models=(1, None), paper="2406.11617", statistics=_factors, check=_check
)
def della(
    base: Tensor,  # [n] float32, weights of the base theta_0
    deltas: Sequence[Tensor],  # K x [n] float32, task vectors theta_i - theta_0
    weights: Sequence[float],  # K coefficients w_i
    draws: Draws,  # random numbers of these elements
    row_length: int,  # elements of a row; n is a multiple
    statistics: Sequence[float],  # K rescaling factors, the same for the whole tensor
    *,
    density: Density = 0.5,
    epsilon: Epsilon = 0.3,
    scale: Scale = 1.0,
    rescale: Rescale = "1/p",
    election_weights: ElectionWeights = False,
    normalize: Normalize = True,
) -> Tensor:  # [n] float32, weights of the merge
    """Drop entries at random by their rank, rescale the rest, then elect signs as TIES does.

    When to use: several fine-tuned experts whose changes contradict each other.

    Formula: tau_i' = m_i tau_i / p_i as in della_linear; sign = sgn(sum_i tau_i'); theta_0 +
    lambda * (weighted mean of the agreeing tau_i'). arXiv:2406.11617. mergekit's form is rescale =
    l1, election_weights = true, and twice its epsilon.
    """
    kept = _rescaled(
        deltas, draws, row_length, statistics, density=density, epsilon=epsilon, rescale=rescale
    )
    merged = elect(kept, weights, election_weights=election_weights, normalize=normalize)
    merged *= scale
    merged += base
    return merged
