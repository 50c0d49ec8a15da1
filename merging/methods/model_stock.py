"""Interpolate between the base and the mean of its fine-tunes by their angle."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from merging.methods.angles import cosine_of
from merging.methods.registry import merge_method
from merging.methods.sums import gram, weighted

if TYPE_CHECKING:
    from torch import Tensor

    from merging.methods.inputs import WholeTensor

# beside the pole of the formula, where the models contradict each other completely
POLE = 1e-6


def _ratio(whole: WholeTensor, *, clamp: bool) -> float:
    """The interpolation ratio t of a tensor; 0 is the base, 1 the mean of the models."""
    products = gram(block.deltas for block in whole.blocks())
    n = whole.n_models
    pairs = list(combinations(range(n), 2))
    cosine = sum(cosine_of(products, i, j, of_zero=0.0) for i, j in pairs) / len(pairs)
    divisor = 1 + (n - 1) * cosine
    if clamp and cosine <= 0 or abs(divisor) < POLE:
        return 0.0
    return n * cosine / divisor


@merge_method(title="Model Stock", models=(2, None), paper="2403.19522", statistics=_ratio)
def model_stock(
    base: Tensor,  # [n] float32, weights of the base theta_0
    deltas: Sequence[Tensor],  # K x [n] float32, task vectors theta_i - theta_0
    statistics: float,  # t, the same for the whole tensor
    *,
    clamp: Annotated[
        bool,
        Field(
            title="Stay between",
            description="Where the experts contradict each other (mean cosine below 0) keep the "
            "base. Off follows the formula beyond it, as mergekit does.",
        ),
    ] = True,
) -> Tensor:  # [n] float32, weights of the merge
    """Go from the base towards the mean of the experts, the further the more they agree.

    When to use: several fine-tunes of one base on similar data; it has no weights to choose.

    Formula: cos = mean cosine of the pairs of task vectors, per tensor; t = K cos / (1 + (K - 1)
    cos); t mean_i theta_i + (1 - t) theta_0. Model Stock, arXiv:2403.19522, whose geometry is that
    of acute angles, 0 <= t <= 1. The cosine is taken in float64, however small the changes are.
    """
    merged = weighted(deltas, [statistics / len(deltas)] * len(deltas))
    merged += base
    return merged
