"""Interpolation along the sphere by weights: of whole tensors, of their rows, or their columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from merging.methods.angles import NEARLY_ZERO, arc, cosine_of, cosines_of, products_of
from merging.methods.registry import merge_method
from merging.methods.sphere import must_not_cancel, placed, products_and_weights

if TYPE_CHECKING:
    from torch import Tensor

    from merging.methods.inputs import WholeTensor


def _factors(whole: WholeTensor, *, per: str) -> Sequence[float] | Sequence[Tensor] | None:
    """The factors of the two tensors, or of each of their columns; rows see to themselves.

    A tensor of one dimension is one row, and one column as well.
    """
    if per == "row":
        return None
    if per == "column":
        sums = None
        for block in whole.blocks():
            if len(block.shape) < 2:
                return None
            x, y = (vector.view(-1, block.row_length) for vector in block.vectors)
            found = products_of(x, y, 0)
            sums = found if sums is None else sums + found
            weights = block.weights
        return None if sums is None else _many(sums, _place(weights))
    return factors(*products_and_weights(whole))


def factors(products: Sequence[Sequence[float]], weights: Sequence[float]) -> tuple[float, float]:
    """The factors of two tensors, from their scalar products (2 x 2) and weights."""
    t = _place(weights)
    cosine = cosine_of(products, 0, 1, of_zero=1.0)
    return (1 - t, t) if math.sin(math.acos(cosine)) < NEARLY_ZERO else arc(cosine, t)


def _place(weights: Sequence[float]) -> float:
    """Where on the arc: 0 is the first model, 1 the second."""
    return weights[1] / (weights[0] + weights[1])


def _many(products: Tensor, t: float) -> list[Tensor]:
    """2 x `[vectors]` float32: the factors of each pair of vectors."""
    import torch

    angle = cosines_of(products, of_zero=1.0).acos()
    straight = angle.sin() < NEARLY_ZERO
    sine = angle.sin().masked_fill(straight, 1.0)
    return [
        torch.where(straight, share, (share * angle).sin() / sine).float() for share in (1 - t, t)
    ]


@merge_method(title="NuSLERP", models=(2, 2), statistics=_factors, check=must_not_cancel)
def nuslerp(
    base_or_none: Tensor | None,  # [n] float32, weights of the base theta_0, or None
    vectors: Sequence[Tensor],  # 2 x [n] float32, task vectors with a base, else weights
    weights: Sequence[float],  # 2 coefficients w_i
    row_length: int,  # elements of a row; n is a multiple
    statistics: Sequence[float] | None,  # the two factors, of the tensor or of each column
    *,
    per: Annotated[
        Literal["tensor", "row", "column"],
        Field(
            title="One angle per",
            description="What is turned as one vector: the whole tensor, each row, or each column.",
        ),
    ] = "tensor",
) -> Tensor:  # [n] float32, weights of the merge
    """Interpolate two models on the sphere by their weights; with a base, their task vectors.

    When to use: as SLERP, where you want to give weights, or two task vectors instead of models.

    Formula: v_i = theta_i, or theta_i - theta_0 with a base; t = w_2 / (w_1 + w_2); theta_0 +
    sin((1-t) a)/sin(a) v_1 + sin(t a)/sin(a) v_2 with a the angle between the flattened v_i (or of
    each row, or column); a linear interpolation where abs(sin a) < 1e-8 or a v_i is zero. As
    mergekit's nuslerp: `tensor` is its nuslerp_flatten = true, `row` nuslerp_flatten = false, and
    `column` that with nuslerp_row_wise = true, whose name says the contrary. Beside a zero vector
    mergekit turns by a right angle. More than two dimensions are the matrix of their rows.
    """
    if per == "tensor" and statistics is not None:
        return placed(base_or_none, vectors, statistics)
    x, y = (vector.view(-1, row_length) for vector in vectors)
    if statistics is not None:
        merged = (x * statistics[0] + y * statistics[1]).flatten()
    else:
        first, second = _many(products_of(x, y, 1), _place(weights))
        merged = (x * first.unsqueeze(1) + y * second.unsqueeze(1)).flatten()
    if base_or_none is not None:
        merged += base_or_none
    return merged
