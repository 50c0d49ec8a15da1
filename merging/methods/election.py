"""TIES' election of a sign per element, and the average of those who agree with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

if TYPE_CHECKING:
    from torch import Tensor

ElectionWeights = Annotated[
    bool,
    Field(
        title="Weights vote",
        description="Let the weights count in the sign election, as mergekit does. Off is the "
        "paper's form: every expert votes with its own task vector.",
    ),
]
Normalize = Annotated[
    bool,
    Field(
        title="Average the agreeing",
        description="Divide by the weights of the experts that agree with the elected sign; "
        "off adds them up.",
    ),
]


def elect(
    deltas: Sequence[Tensor],  # K x [n] float32, task vectors after trimming
    weights: Sequence[float],  # K coefficients w_i
    *,
    election_weights: bool,
    normalize: bool,
) -> Tensor:  # [n] float32, the merged task vector
    """Merge task vectors where their sign agrees with the elected one.

    Paper's form (arXiv:2306.01708): the sign is that of sum_i tau_i, and agreeing entries give
    sum w_i tau_i / sum abs(w_i). With `election_weights` the sign is that of sum_i w_i tau_i, an
    entry agrees by the sign of w_i tau_i, and the divisor is sum w_i (1 where that is 0), as in
    mergekit. For non-negative weights the two divisors are the same. A sum of exactly zero elects
    plus; entries of exactly zero never agree, so they are not counted in an average.
    """
    import torch

    coefficients = [1.0] * len(deltas) if election_weights else list(weights)
    counts = list(weights) if election_weights else [abs(weight) for weight in weights]
    voters = (
        [delta * weight for delta, weight in zip(deltas, weights, strict=True)]
        if election_weights
        else deltas
    )
    votes = voters[0].clone()
    for voter in voters[1:]:
        votes += voter
    sign = torch.where(votes >= 0, 1.0, -1.0)
    total = torch.zeros_like(votes)
    divisor = torch.zeros_like(votes)
    for voter, coefficient, count in zip(voters, coefficients, counts, strict=True):
        # the magnitude of what agrees, zero for what does not; turning signs is exact
        agreeing = (voter * sign).clamp_(min=0.0)
        if normalize:
            divisor += agreeing.sign() * count
        total += agreeing.mul_(coefficient)
    if normalize:
        total /= divisor.masked_fill_(divisor.abs() < 1e-8, 1.0)
    return total.mul_(sign)
