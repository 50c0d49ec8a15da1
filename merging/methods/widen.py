"""Weigh the columns of each expert by how far they moved in length and in direction."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from merging.methods.registry import merge_method
from merging.methods.sums import total

if TYPE_CHECKING:
    from torch import Tensor

    from merging.methods.inputs import Inputs, WholeTensor

# a smaller change of length (of the whole) or direction is rounding, and counts as none
NEGLIGIBLE = 1e-12
EMBEDDING = re.compile(r"(^|\.)(embed_tokens|tok_embeddings|word_embeddings|embed_in|wte)\.weight$")


@dataclass(frozen=True)
class Scores:
    """How much of each expert is taken.

    Attributes:
        of: what the scores belong to: columns, rows (of an embedding), or entries of a vector.
        values: `[K, vectors]` float64; for entries `[K]`, the experts' mean changes.
    """

    of: Literal["columns", "rows", "entries"]
    values: Tensor


Ratio = Annotated[
    float,
    Field(
        title="Importance threshold t",
        description="Columns whose rank is above t times the mean rank count in full.",
        ge=0,
        le=2,
        json_schema_extra={"step": 0.05},
    ),
]
Calibration = Annotated[
    float,
    Field(
        title="Calibrated score s",
        description="Score of the columns above the threshold; the others share 1 by softmax.",
        ge=0,
        le=2,
        json_schema_extra={"step": 0.05},
    ),
]


def _sums(block: Inputs, dim: int) -> Tensor:
    """`[1 + 2 K, vectors]` float64: theta_0 . theta_0, then theta_0 . tau_i and tau_i . tau_i.

    `dim` is what is summed over: 0 for the columns of a block, 1 for its rows.
    """
    import torch

    start = block.base.view(-1, block.row_length).double()
    sums = [start.square().sum(dim=dim)]
    for delta in block.deltas:
        moved = delta.view(-1, block.row_length).double()
        sums += [(start * moved).sum(dim=dim), moved.square().sum(dim=dim)]
    return torch.stack(sums)


def _divergences(before: Tensor, cross: Tensor, moved: Tensor) -> list[Tensor]:
    """`[vectors]` float32 each: how far vectors moved in length, and in direction (1 - cosine).

    From the sums of `_sums`, in which the change itself stands, so that small ones keep their
    digits. In float32, so that equal columns are equal whatever the order of summing.
    """
    import torch

    after = (before + 2 * cross + moved).clamp(min=0)
    old, new = before.sqrt(), after.sqrt()
    both = old + new
    length = (2 * cross + moved).abs() / both.masked_fill(both == 0, 1.0)
    length = length.masked_fill(length <= NEGLIGIBLE * old, 0.0)
    product = 2 * old * new
    turned = (moved - (new - old).square()) / product.masked_fill(product == 0, 1.0)
    # beside a zero vector there is no direction: all of it is new
    turned = torch.where(product == 0, (moved > 0).double(), turned)
    return [length.float(), turned.masked_fill(turned <= NEGLIGIBLE, 0.0).float()]


def _ranks(divergences: Tensor) -> Tensor:
    """`[vectors]` float64 from 0 to below 1: the place of each among all, from the smallest."""
    import torch

    n = divergences.numel()
    order = divergences.argsort(stable=True)
    places = torch.arange(n, dtype=torch.float64, device=divergences.device) / n
    return torch.empty_like(places).scatter_(0, order, places)


def _calibrated(importance: Tensor, means: Tensor, ratio: float, calibration: float) -> Tensor:
    """`[K, vectors]` float64: softmax over the experts, and `calibration` above the threshold.

    Args:
        importance: `[K, vectors]` float64.
        means: `[K]` float64, of each expert's importances.
        ratio: t, the threshold as a multiple of the mean.
        calibration: s, the score above it.
    """
    limits = means.to(importance.device).unsqueeze(1) * ratio
    return importance.softmax(dim=0).masked_fill(importance > limits, calibration)


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    """`[K, n]`."""
    import torch

    return torch.stack(list(tensors))


def _statistics(whole: WholeTensor, *, ratio: float, calibration: float) -> Scores:
    """How much of each expert's columns is taken; for a vector, the experts' mean changes."""
    import torch

    first = next(whole.blocks(), None)
    if first is None or len(first.shape) < 2:
        means = [
            total(block.deltas[model].abs() for block in whole.blocks()) / max(whole.n_elements, 1)
            for model in range(whole.n_models)
        ]
        return Scores("entries", torch.tensor(means, dtype=torch.float64))
    if EMBEDDING.search(first.name):
        sums = torch.cat([_sums(block, 1) for block in whole.blocks()], dim=1)
        return Scores("rows", _scores(sums, ratio, calibration))
    sums = torch.zeros_like(_sums(first, 0))
    for block in whole.blocks():
        sums += _sums(block, 0)
    return Scores("columns", _scores(sums, ratio, calibration))


def _scores(sums: Tensor, ratio: float, calibration: float) -> Tensor:
    """`[K, vectors]` float64: the mean of the scores by length and by direction."""
    import torch

    before, crosses, moves = sums[0], sums[1::2], sums[2::2]
    pairs = [_divergences(before, *pair) for pair in zip(crosses, moves, strict=True)]
    by_length, by_direction = (
        _calibrated(ranks, ranks.mean(dim=1), ratio, calibration)
        for ranks in (torch.stack([_ranks(pair[part]) for pair in pairs]) for part in (0, 1))
    )
    return (by_length + by_direction) / 2


@merge_method(title="WIDEN", models=(2, None), paper="2408.03092", statistics=_statistics)
def widen(
    base: Tensor,  # [n] float32, weights of the base theta_0
    deltas: Sequence[Tensor],  # K x [n] float32, task vectors theta_i - theta_0
    row_length: int,  # elements of a row; n is a multiple
    start: int,  # place of the first element in the tensor
    statistics: Scores,  # how much of each expert's columns is taken, the same for the tensor
    *,
    ratio: Ratio = 1.0,
    calibration: Calibration = 1.0,
) -> Tensor:  # [n] float32, weights of the merge
    """Take each column of each expert by how far it moved in length and direction, ranked.

    When to use: an expert after long continual pretraining beside a fine-tuned one, whose changes
    differ so much in size that one weight for each expert does not do.

    Formula: column c of theta_i has length m_ic and direction v_ic; |m_ic - m_0c| and 1 - cos(v_ic,
    v_0c) are ranked among the columns of expert i, r from 0 to (C - 1)/C; the score by each is
    softmax over i of r_ic, or s where r_ic > t mean_c r_ic; theta_0 + sum_i (mean of both scores)
    tau_i. Weight disentanglement, arXiv:2408.03092, in the form of the authors' published code: in
    embeddings (by the tensor's name) a token's row is what a column is elsewhere; entries of
    vectors are scored by abs(tau_i) itself, and equal divergences are ranked by their place. The
    scores of all experts together may exceed 1: where several moved far, all count in full.
    Decided here: a column that is zero in one model alone has direction divergence 1, and more
    than two dimensions are the matrix of their rows.
    """
    if statistics.of == "entries":
        changes = _stacked(deltas)
        scores = _calibrated(changes.abs().double(), statistics.values, ratio, calibration)
        return base + (changes * scores.float()).sum(dim=0)
    rows = [delta.view(-1, row_length) for delta in deltas]
    factors = statistics.values.float()
    if statistics.of == "rows":
        first = start // row_length
        factors = factors[:, first : first + len(rows[0])].unsqueeze(2)
    merged = rows[0] * factors[0]
    for row, factor in zip(rows[1:], factors[1:], strict=True):
        merged += row * factor
    return base + merged.flatten()
