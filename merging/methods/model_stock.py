"""Interpolate between the base and the mean of its fine-tunes by their angle."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from merging.methods.angles import cosine_of, cosines_of, products_of
from merging.methods.registry import merge_method
from merging.methods.sums import gram, weighted

if TYPE_CHECKING:
    from torch import Tensor

    from merging.methods.inputs import WholeTensor

# beside the pole of the formula, where the models contradict each other completely
POLE = 1e-6


def _ratio(whole: WholeTensor, *, clamp: bool, per: str) -> float:
    """The interpolation ratio t of a tensor; 0 is the base, 1 the mean of the models."""
    if per == "row":
        return 0.0
    return ratio(gram(block.deltas for block in whole.blocks()), clamp=clamp)


def ratio(products: Sequence[Sequence[float]], *, clamp: bool) -> float:
    """The same from the scalar products of the task vectors, K x K."""
    n = len(products)
    pairs = list(combinations(range(n), 2))
    cosine = sum(cosine_of(products, i, j, of_zero=0.0) for i, j in pairs) / len(pairs)
    divisor = 1 + (n - 1) * cosine
    if clamp and cosine <= 0 or abs(divisor) < POLE:
        return 0.0
    return n * cosine / divisor


def _ratios(deltas: Sequence[Tensor], row_length: int, clamp: bool) -> Tensor:
    """`[rows]` float64: the ratio of every row."""
    rows = [delta.view(-1, row_length) for delta in deltas]
    n = len(rows)
    pairs = list(combinations(rows, 2))
    cosine = cosines_of(products_of(*pairs[0], 1), of_zero=0.0)
    for pair in pairs[1:]:
        cosine = cosine + cosines_of(products_of(*pair, 1), of_zero=0.0)
    cosine /= len(pairs)
    divisor = 1 + (n - 1) * cosine
    none = (cosine <= 0) & clamp | (divisor.abs() < POLE)
    return (n * cosine / divisor.masked_fill(none, 1.0)).masked_fill(none, 0.0)


@merge_method(title="Model Stock", models=(2, None), paper="2403.19522", statistics=_ratio)
def model_stock(
    base: Tensor,  # [n] float32, weights of the base theta_0
    deltas: Sequence[Tensor],  # K x [n] float32, task vectors theta_i - theta_0
    row_length: int,  # elements of a row; n is a multiple
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
    per: Annotated[
        Literal["tensor", "row"],
        Field(
            title="One ratio per",
            description="What has a cosine and a ratio of its own: the whole tensor or each row.",
        ),
    ] = "tensor",
) -> Tensor:  # [n] float32, weights of the merge
    """Go from the base towards the mean of the experts, the further the more they agree.

    When to use: several fine-tunes of one base on similar data; it has no weights to choose.

    Formula: cos = mean cosine of the pairs of task vectors, per tensor or per row; t = K cos / (1 +
    (K - 1) cos); t mean_i theta_i + (1 - t) theta_0. Model Stock, arXiv:2403.19522, whose geometry
    is that of acute angles, 0 <= t <= 1. The cosine is taken in float64, however small the changes
    are. `row` is mergekit's filter_wise; a tensor of one dimension is one row.
    """
    if per == "row":
        ratios = _ratios(deltas, row_length, clamp).float().unsqueeze(1)
        mean = weighted(deltas, [1 / len(deltas)] * len(deltas)).view(-1, row_length)
        merged = (mean * ratios).flatten()
    else:
        merged = weighted(deltas, [statistics / len(deltas)] * len(deltas))
    merged += base
    return merged
