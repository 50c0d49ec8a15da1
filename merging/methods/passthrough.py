"""One model as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from merging.methods.per_model import PerModel, each
from merging.methods.registry import merge_method

if TYPE_CHECKING:
    from torch import Tensor


@merge_method(title="Passthrough", models=(1, 1))
def passthrough(
    models: Sequence[Tensor],  # 1 x [n] float32, weights theta_1
    *,
    scale: Annotated[
        PerModel,
        Field(
            title="Scale",
            description="Factor of every weight; 1 leaves the model as it is.",
            ge=0,
            le=5,
            json_schema_extra={"step": 0.05},
        ),
    ] = 1.0,
) -> Tensor:  # [n] float32, weights of the result
    """Take one model as it is, or every weight of it times a factor.

    When to use: to stack layers of several models (`slices`), or to write a model in another
    dtype or with another tokenizer or chat template.

    Formula: scale * theta_1.
    """
    return models[0] * each(scale, 1)[0]
