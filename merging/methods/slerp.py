"""Interpolation along the sphere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from merging.methods.angles import arc, cosine_of
from merging.methods.registry import merge_method
from merging.methods.sums import gram

if TYPE_CHECKING:
    from torch import Tensor

    from merging.methods.inputs import WholeTensor

# beyond this cosine the two tensors are treated as parallel (mergekit's threshold)
NEARLY_PARALLEL = 0.9995


def _coefficients(whole: WholeTensor, *, t: float) -> tuple[float, float]:
    """The factors of the two tensors, from their cosine over the whole tensor."""
    return factors(gram(block.models for block in whole.blocks()), t=t)


def factors(products: Sequence[Sequence[float]], *, t: float) -> tuple[float, float]:
    """The factors of two tensors, from their scalar products (2 x 2)."""
    cosine = cosine_of(products, 0, 1, of_zero=1.0)
    return (1 - t, t) if abs(cosine) > NEARLY_PARALLEL else arc(cosine, t)


@merge_method(title="SLERP", models=(2, 2), ordered=True, statistics=_coefficients)
def slerp(
    models: Sequence[Tensor],  # 2 x [n] float32, weights theta_1 and theta_2
    statistics: tuple[float, float],  # the two factors, the same for the whole tensor
    *,
    t: Annotated[
        float,
        Field(
            title="Position t",
            description="0 is the first model, 1 the second.",
            ge=0,
            le=1,
            json_schema_extra={"step": 0.05},
        ),
    ] = 0.5,
) -> Tensor:  # [n] float32, weights of the merge
    """Interpolate between two models along the great circle, tensor by tensor.

    When to use: exactly two models that lie far apart; for close fine-tunes it equals linear.

    Formula: sin((1-t) a)/sin(a) theta_1 + sin(t a)/sin(a) theta_2 with a the angle between the
    flattened tensors; (1-t) theta_1 + t theta_2 where abs(cos a) > 0.9995 or a tensor is zero.
    Shoemake, Animating rotation with quaternion curves, SIGGRAPH 1985.
    """
    return models[0] * statistics[0] + models[1] * statistics[1]
