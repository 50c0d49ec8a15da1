"""Means of models on the sphere, tensor by tensor.

Every such mean is a sum of the models with factors that follow from their scalar products alone:
one pass over a tensor finds those, in float64, and the rest is arithmetic on K numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from merging.methods.angles import NEARLY_ZERO
from merging.methods.registry import merge_method
from merging.methods.sums import gram, weighted

if TYPE_CHECKING:
    from torch import Tensor

    from merging.methods.inputs import WholeTensor


def must_not_cancel(weights: Sequence[float], *, normalize: bool = True, **_: Any) -> str | None:
    """A sentence for weights whose sum, by which a method divides, is zero."""
    if not normalize or abs(sum(weights)) >= NEARLY_ZERO:
        return None
    return (
        f"The weights add up to {sum(weights):g}, and this method divides by their sum: change a "
        "weight."
    )


def _must_be_positive(weights: Sequence[float], **_: Any) -> str | None:
    if min(weights) >= 0 and sum(weights) > 0:
        return None
    return "The Karcher mean needs weights of 0 or more, at least one of them above 0."


def products_and_weights(whole: WholeTensor) -> tuple[list[list[float]], Sequence[float]]:
    """K x K scalar products of the vectors, and the weights w_i."""
    weights: list[Sequence[float]] = []

    def vectors() -> Any:
        for block in whole.blocks():
            weights.append(block.weights)
            yield block.vectors

    return gram(vectors()), (weights or [()])[0]


def _mean_factors(whole: WholeTensor, *, normalize: bool) -> Sequence[float]:
    """Multi-SLERP's factors of the whole tensor."""
    return mean_factors(*products_and_weights(whole), normalize=normalize)


def mean_factors(
    products: Sequence[Sequence[float]], weights: Sequence[float], *, normalize: bool
) -> Sequence[float]:
    """The mean direction, times the mean length, from K x K scalar products."""
    if normalize:
        weights = [weight / sum(weights) for weight in weights]
    lengths = [math.sqrt(row[i]) for i, row in enumerate(products)]
    units = [
        weight / length if length > 0 else 0.0
        for weight, length in zip(weights, lengths, strict=True)
    ]
    mean = math.sqrt(max(0.0, _quadratic(products, units)))
    if mean < NEARLY_ZERO:
        return weights
    length = sum(w * n for w, n in zip(weights, lengths, strict=True))
    return [unit * length / mean for unit in units]


def _karcher_factors(whole: WholeTensor, *, max_iter: int) -> Sequence[float]:
    """The Karcher mean's factors of the whole tensor."""
    return karcher_factors(*products_and_weights(whole), max_iter=max_iter)


def karcher_factors(
    products: Sequence[Sequence[float]], weights: Sequence[float], *, max_iter: int
) -> Sequence[float]:
    """The Karcher mean of the unit vectors as a sum of them, times the mean length."""
    shares = [weight / sum(weights) for weight in weights]
    lengths = [math.sqrt(row[i]) for i, row in enumerate(products)]
    used = [i for i, length in enumerate(lengths) if length > 0 and shares[i] > 0]
    if not used:
        return shares
    cosines = [[products[i][j] / lengths[i] / lengths[j] for j in used] for i in used]
    total = sum(shares[i] for i in used)
    unit = _karcher_mean(cosines, [shares[i] / total for i in used], max_iter)
    length = sum(share * n for share, n in zip(shares, lengths, strict=True))
    factors = [0.0] * len(weights)
    for i, factor in zip(used, unit, strict=True):
        factors[i] = factor * length / lengths[i]
    return factors


def _karcher_mean(
    cosines: Sequence[Sequence[float]], shares: Sequence[float], max_iter: int
) -> list[float]:
    """Factors of unit vectors u_i whose sum is their Karcher mean.

    Args:
        cosines: M x M, u_i . u_j.
        shares: M, adding up to 1.
        max_iter: most steps.
    """
    mean = list(shares)
    length = math.sqrt(max(0.0, _quadratic(cosines, mean)))
    mean = [1.0] + [0.0] * (len(mean) - 1) if length < NEARLY_ZERO else [c / length for c in mean]
    for _ in range(max_iter):
        dots = [sum(c * x for c, x in zip(mean, row, strict=True)) for row in cosines]
        step = [0.0] * len(mean)
        for i, (share, dot) in enumerate(zip(shares, dots, strict=True)):
            angle = math.acos(max(-1.0, min(1.0, dot)))
            # at the mean there is nowhere to go, and opposite to it no direction
            if math.sin(angle) < NEARLY_ZERO:
                continue
            pull = share * angle / math.sin(angle)
            step = [s - pull * dot * c for s, c in zip(step, mean, strict=True)]
            step[i] += pull
        size = math.sqrt(max(0.0, _quadratic(cosines, step)))
        if size < NEARLY_ZERO:
            break
        moved = [
            math.cos(size) * c + math.sin(size) / size * s for c, s in zip(mean, step, strict=True)
        ]
        length = math.sqrt(max(0.0, _quadratic(cosines, moved)))
        # opposite vectors: what is left of their sum is rounding
        if length < NEARLY_ZERO:
            break
        mean = [c / length for c in moved]
    return mean


def _quadratic(products: Sequence[Sequence[float]], factors: Sequence[float]) -> float:
    """The squared length of a sum of vectors with these factors."""
    return sum(
        a * b * product
        for a, row in zip(factors, products, strict=True)
        for b, product in zip(factors, row, strict=True)
    )


def placed(
    base_or_none: Tensor | None, vectors: Sequence[Tensor], factors: Sequence[float]
) -> Tensor:
    """`[n]` float32: the sum of the vectors, on top of the base when there is one."""
    merged = weighted(vectors, factors)
    if base_or_none is not None:
        merged += base_or_none
    return merged


@merge_method(
    title="Multi-SLERP", models=(2, None), statistics=_mean_factors, check=must_not_cancel
)
def multislerp(
    base_or_none: Tensor | None,  # [n] float32, weights of the base theta_0, or None
    vectors: Sequence[Tensor],  # K x [n] float32, task vectors with a base, else weights
    weights: Sequence[float],  # K coefficients w_i
    statistics: Sequence[float],  # K factors, the same for the whole tensor
    *,
    normalize: Annotated[
        bool,
        Field(
            title="Normalise",
            description="Divide by the sum of the weights, so that only their ratio matters.",
        ),
    ] = True,
) -> Tensor:  # [n] float32, weights of the merge
    """Average directions and lengths of several models apart; with a base, of their task vectors.

    When to use: three or more models of different lengths whose plain average would be too short.

    Formula: v_i = theta_i, or theta_i - theta_0 with a base; u_i = v_i / |v_i|; theta_0 + (sum_i
    w_i |v_i|) m with m the direction of sum_i w_i u_i. It is mergekit's multislerp: its average in
    the tangent space at m is always zero, which leaves m. Where the u_i cancel: sum_i w_i v_i.
    """
    return placed(base_or_none, vectors, statistics)


@merge_method(
    title="Karcher mean",
    models=(2, None),
    paper="2603.04972",
    statistics=_karcher_factors,
    check=_must_be_positive,
)
def karcher(
    models: Sequence[Tensor],  # K x [n] float32, weights theta_i
    weights: Sequence[float],  # K coefficients w_i
    statistics: Sequence[float],  # K factors, the same for the whole tensor
    *,
    max_iter: Annotated[
        int,
        Field(
            title="Steps",
            description="Most steps of the iteration; it ends earlier when it stands still.",
            ge=1,
            le=1000,
            json_schema_extra={"step": 1},
        ),
    ] = 100,
) -> Tensor:  # [n] float32, weights of the merge
    """Take the point on the sphere that is nearest to all models, times their mean length.

    When to use: several models of equal standing, as the SLERP of more than two.

    Formula: u = argmin_u sum_i w_i angle(u, theta_i / |theta_i|)^2, found by steps of the weighted
    mean of the logarithms at u; (sum_i w_i |theta_i| / sum_i w_i) u, per tensor. arXiv:2603.04972.
    """
    return weighted(models, statistics)
