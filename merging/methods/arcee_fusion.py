"""Take over what has changed most, by an importance that looks at whole rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from merging.methods.registry import merge_method
from merging.methods.selection import kth_largest

if TYPE_CHECKING:
    from torch import Tensor

    from merging.methods.inputs import WholeTensor

# mergekit's, which keeps the logarithm finite
EPSILON = 1e-8


def _importance(base: Tensor, model: Tensor, row_length: int) -> Tensor:
    """`[n]` float32: how far each entry moved, times how far its row moved.

    The divergence of a row is a small difference of large numbers, so it is taken in float64.
    """
    import torch

    before, after = (
        torch.softmax(weights.view(-1, row_length).double(), dim=1) + EPSILON
        for weights in (base, model)
    )
    divergence = (after * (after / before).log()).sum(dim=1, keepdim=True).clamp(min=0)
    moved = (model - base).abs().view(-1, row_length)
    return (moved * divergence).float().flatten()


def _threshold(whole: WholeTensor, *, fence: float) -> float:
    """Median + fence times the interquartile range of the importances."""

    def importances() -> Iterator[list[Tensor]]:
        for block in whole.blocks():
            yield [_importance(block.base, block.models[0], block.row_length)]

    last = whole.n_elements - 1
    # places counted from the smallest, turned into ranks from the largest
    ranks = [last - int(share * last) + 1 for share in (0.25, 0.5, 0.75)]
    ((lower, median, upper),) = kth_largest(importances, [ranks])
    return median + fence * (upper - lower)


@merge_method(title="Arcee Fusion", models=(1, 1), statistics=_threshold)
def arcee_fusion(
    base: Tensor,  # [n] float32, weights of the base theta_0
    models: Sequence[Tensor],  # 1 x [n] float32, weights theta_1
    row_length: int,  # elements of a row; n is a multiple
    statistics: float,  # the threshold, the same for the whole tensor
    *,
    fence: Annotated[
        float,
        Field(
            title="Fence",
            description="Interquartile ranges above the median at which a change counts as "
            "important; higher takes over less.",
            ge=0,
            le=10,
            json_schema_extra={"step": 0.05},
        ),
    ] = 1.5,
) -> Tensor:  # [n] float32, weights of the merge
    """Take the model's weight where its change is outstanding, and the base's elsewhere.

    When to use: one model to be grafted onto another that shall stay mostly as it is.

    Formula: importance = abs(theta_1 - theta_0) KL(softmax of theta_1's row || softmax of
    theta_0's); theta_1 where importance >= median + fence (Q3 - Q1) over the tensor, else theta_0.
    Arcee AI's method of mergekit 0.1.5, which fixes the fence at 1.5, estimates the quartiles from
    a random sample, and adds 1e-8 to every probability as is done here. Here the quartiles are
    exact (the value at place int(q (n - 1)) from the smallest), and the divergence, which vanishes
    in lower precision for small changes, is taken in float64. Where three quarters of the entries
    did not move, the threshold is 0 and all that moved is taken.
    """
    import torch

    important = _importance(base, models[0], row_length).double() >= statistics
    return torch.where(important, models[0], base)
