"""Weighted averages of weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from merging.methods.registry import merge_method
from merging.methods.sums import weighted

if TYPE_CHECKING:
    from torch import Tensor


def _weights_must_not_cancel(weights: Sequence[float], *, normalize: bool, **_: Any) -> str | None:
    if normalize and abs(sum(weights)) < 1e-8:
        return (
            f"The weights add up to {sum(weights):g}, and linear divides by their sum: change a "
            "weight, or switch normalize off."
        )
    return None


@merge_method(
    title="Linear average", models=(1, None), paper="2203.05482", check=_weights_must_not_cancel
)
def linear(
    models: Sequence[Tensor],  # K x [n] float32, weights theta_i
    weights: Sequence[float],  # K coefficients w_i
    *,
    normalize: Annotated[
        bool,
        Field(
            title="Normalise",
            description="Divide by the sum of the weights, so that only their ratio matters.",
        ),
    ] = True,
) -> Tensor:  # [n] float32, weights of the merge
    """Average the models' weights, each counted by its weight.

    When to use: models that are close to each other, such as runs or checkpoints of one training.

    Formula: sum_i w_i theta_i / sum_i w_i. Model soups, arXiv:2203.05482.
    """
    total = weighted(models, weights)
    if normalize:
        total /= sum(weights)
    return total
