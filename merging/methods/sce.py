"""Select by variance, calculate coefficients, erase the minority."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from merging.methods.election import elect
from merging.methods.registry import merge_method
from merging.methods.selection import kth_largest
from merging.methods.sums import total

if TYPE_CHECKING:
    from torch import Tensor

    from merging.methods.inputs import WholeTensor


@dataclass(frozen=True)
class Selection:
    """What SCE finds out about a tensor.

    Attributes:
        threshold: the smallest spread that is selected.
        coefficients: K, adding up to 1.
    """

    threshold: float
    coefficients: tuple[float, ...]


def _spread(deltas: Sequence[Tensor]) -> Tensor:
    """`[n]` float32: K^2 times the variance over the models.

    As a sum over pairs it is exactly zero where the models are equal, and does not suffer from
    the mean's rounding, so that equal spreads are equal numbers.
    """
    import torch

    spread = torch.zeros_like(deltas[0])
    for one, other in combinations(deltas, 2):
        spread += (one - other).square_()
    return spread


def _selected(deltas: Sequence[Tensor], threshold: float) -> list[Tensor]:
    """The task vectors `[n]` with what is not selected set to zero."""
    if threshold <= 0:
        return list(deltas)
    small = _spread(deltas) < threshold
    return [delta.masked_fill(small, 0.0) for delta in deltas]


def _select(whole: WholeTensor, *, select_topk: float) -> Selection:
    """The threshold of selection, then the mean square of what is selected of each model."""

    def spreads() -> Iterator[list[Tensor]]:
        for block in whole.blocks():
            yield [_spread(block.deltas)]

    threshold = 0.0
    if select_topk < 1:
        differing = sum(int(spread.count_nonzero()) for (spread,) in spreads())
        if differing:
            threshold = kth_largest(spreads, [[max(1, int(select_topk * differing))]])[0][0]
    squares = [
        total(
            _selected(block.deltas, threshold)[model].double().square() for block in whole.blocks()
        )
        for model in range(whole.n_models)
    ]
    energy = sum(squares)
    if energy == 0:
        return Selection(threshold, (1 / whole.n_models,) * whole.n_models)
    return Selection(threshold, tuple(square / energy for square in squares))


@merge_method(title="SCE", models=(2, None), paper="2408.07990", statistics=_select)
def sce(
    base: Tensor,  # [n] float32, weights of the base theta_0
    deltas: Sequence[Tensor],  # K x [n] float32, task vectors theta_i - theta_0
    statistics: Selection,  # threshold and K coefficients, the same for the whole tensor
    *,
    select_topk: Annotated[
        float,
        Field(
            title="Selected share τ",
            description="Share of the entries in which the models differ that is merged: those "
            "of the largest variance. 1 takes all.",
            ge=0.01,
            le=1,
            json_schema_extra={"step": 0.01},
        ),
    ] = 0.1,
) -> Tensor:  # [n] float32, weights of the merge
    """Keep where the experts differ most, weight them by the size of their changes, elect signs.

    When to use: experts from different teachers or data; it has no weights to choose.

    Formula: select the entries of the largest variance over the tau_i (share tau of those that
    differ, per tensor); c_i = sum tau_i^2 / sum_j sum tau_j^2; keep where sgn(tau_i) = sgn(sum_j
    tau_j); theta_0 + sum_i c_i tau_i / sum_i c_i over those. SCE of FuseChat, arXiv:2408.07990. The
    sums are taken in float64, however small the changes are. A tenth is what the authors' recipe of
    FuseChat selects; mergekit, and their recipes of FuseO1, select all. What is not selected is not
    merged, as in mergekit; the authors' first code selected for the coefficients alone.
    """
    kept = _selected(deltas, statistics.threshold)
    merged = elect(kept, statistics.coefficients, election_weights=False, normalize=True)
    merged += base
    return merged
