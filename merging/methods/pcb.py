"""Balance the competition of the experts for each weight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from merging.methods.registry import merge_method
from merging.methods.selection import kth_largest
from merging.methods.task_arithmetic import Scale

if TYPE_CHECKING:
    from torch import Tensor

    from merging.methods.inputs import WholeTensor

# share of the magnitudes that is cut at either end
OUTLIERS = 0.0001


@dataclass(frozen=True)
class Range:
    """What is known of one expert's task vector in a tensor.

    Attributes:
        smallest, largest: limits of the magnitudes, outliers apart.
        dropped, best: the balance up to which entries are dropped, and the highest.
    """

    smallest: float
    largest: float
    dropped: float = 0.0
    best: float = 0.0


def _clamped(delta: Tensor, limits: Range) -> Tensor:
    """`[n]` float64: the magnitudes of a task vector without outliers."""
    return delta.abs().double().clamp(limits.smallest, limits.largest)


def _balances(deltas: Sequence[Tensor], ranges: Sequence[Range]) -> list[Tensor]:
    """K x `[n]` float32: intra-balancing times inter-balancing of each expert's entries."""
    total = deltas[0].double()
    for delta in deltas[1:]:
        total = total + delta
    found = []
    for delta, limits in zip(deltas, ranges, strict=True):
        width = limits.largest - limits.smallest
        place = (_clamped(delta, limits) - limits.smallest) / (width if width > 0 else 1.0)
        intra = (len(deltas) * place.square()).exp()
        found.append((intra * (delta * total).tanh()).float())
    return found


def _scores(balance: Tensor, limits: Range) -> Tensor:
    """`[n]` float64 from 0 to 1: 0 for what is dropped, 1 for the best."""
    if limits.best > limits.dropped:
        wide = balance.double() - limits.dropped
        return (wide / (limits.best - limits.dropped)).clamp(0, 1)
    # only one value is left: what has it counts in full, unless it speaks against the others
    return (balance >= limits.best).double() * (limits.best > 0)


def _ranges(whole: WholeTensor, *, density: float, **_: object) -> list[Range]:
    """For each expert its limits, and the balance below which entries are dropped."""
    n = whole.n_elements
    cut = int(n * OUTLIERS)
    pairs = kth_largest(
        lambda: (block.deltas for block in whole.blocks()), [[n - cut, 1 + cut]] * whole.n_models
    )
    limits = [Range(*pair) for pair in pairs]

    def balances() -> Iterator[list[Tensor]]:
        for block in whole.blocks():
            yield _balances(block.deltas, limits)

    place = min(int(n * (1 - density)), n - 1)
    found = kth_largest(balances, [[n - place, 1]] * whole.n_models, signed=True)
    return [
        Range(one.smallest, one.largest, dropped, best)
        for one, (dropped, best) in zip(limits, found, strict=True)
    ]


@merge_method(title="PCB", models=(2, None), paper="2410.02396", statistics=_ranges)
def pcb(
    base: Tensor,  # [n] float32, weights of the base theta_0
    deltas: Sequence[Tensor],  # K x [n] float32, task vectors theta_i - theta_0
    weights: Sequence[float],  # K coefficients w_i
    statistics: Sequence[Range],  # K limits, the same for the whole tensor
    *,
    density: Annotated[
        float,
        Field(
            title="Density r",
            description="Share of each task vector that is kept: the highest balance of own size "
            "and agreement with the others.",
            ge=0.01,
            le=1,
            json_schema_extra={"step": 0.01},
        ),
    ] = 0.1,
    scale: Scale = 1.0,
) -> Tensor:  # [n] float32, weights of the merge
    """Weigh each entry by its own size and by how far the other experts agree with it.

    When to use: several experts whose changes contradict each other, where TIES' votes lose much.

    Formula: a_i = abs(tau_i), clamped by int(n / 10000) outliers at either end; intra_i = exp(K
    norm(a_i)^2) with norm from 0 to 1; inter_i = tanh(tau_i sum_j tau_j); b_i = intra_i inter_i;
    s_i = b_i scaled so that its (1 - r) quantile is 0 and its maximum 1, and 0 below; theta_0 +
    lambda sum_i s_i w_i sgn(tau_i) a_i / sum_i s_i. Parameter Competition Balancing,
    arXiv:2410.02396, in the form of the authors' published code, whose exp and tanh stand for the
    paper's softmax; w_i are its lambda_i. Decided here: quantiles are of the tensor and not of the
    whole model, and where all that is kept has the same balance, above 0, it counts in full.
    """
    import torch

    total = torch.zeros_like(base, dtype=torch.float64)
    divisor = torch.zeros_like(total)
    balances = _balances(deltas, statistics)
    for delta, balance, weight, limits in zip(deltas, balances, weights, statistics, strict=True):
        score = _scores(balance, limits)
        divisor += score
        total += score * weight * delta.sign() * _clamped(delta, limits)
    merged = (total / divisor.clamp(min=1e-12)).float()
    merged *= scale
    merged += base
    return merged
