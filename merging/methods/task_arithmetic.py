"""Sums of task vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from merging.methods.registry import merge_method
from merging.methods.sums import divided, weighted

if TYPE_CHECKING:
    from torch import Tensor

Scale = Annotated[
    float,
    Field(
        title="Scale λ",
        description="Factor of the merged task vector; 0 gives the base back.",
        ge=0,
        le=5,
        json_schema_extra={"step": 0.05},
    ),
]

DivideBySum = Annotated[
    bool,
    Field(
        title="Normalise",
        description="Divide by the sum of the weights, so that only their ratio matters.",
    ),
]


@merge_method(title="Task arithmetic", models=(1, None), paper="2212.04089")
def task_arithmetic(
    base: Tensor,  # [n] float32, weights of the base theta_0
    deltas: Sequence[Tensor],  # K x [n] float32, task vectors theta_i - theta_0
    weights: Sequence[float],  # K coefficients w_i
    *,
    scale: Scale = 1.0,
    normalize: DivideBySum = False,
) -> Tensor:  # [n] float32, weights of the merge
    """Add the experts' task vectors to the base, each times its weight.

    When to use: first; it is the baseline that the other methods have to beat.

    Formula: theta_0 + lambda sum_i w_i (theta_i - theta_0), divided by sum_i w_i when
    normalize is on. arXiv:2212.04089.
    """
    total = weighted(deltas, divided(weights, normalize=normalize))
    total *= scale
    total += base
    return total


@merge_method(
    title="Instruction residual (chat vector)",
    models=(2, 2),
    paper="2310.04799",
    ordered=True,
    roles=("expert", "instruct"),
)
def instruction_residual(
    base: Tensor,  # [n] float32, weights of the base theta_0
    models: Sequence[Tensor],  # 2 x [n] float32, weights theta_expert and theta_instruct
    *,
    alpha: Annotated[
        float,
        Field(
            title="Instruction strength α",
            description="Factor of the instruction residual theta_instruct - theta_0.",
            ge=0,
            le=5,
            json_schema_extra={"step": 0.05},
        ),
    ] = 1.0,
    expert_scale: Annotated[
        float,
        Field(
            title="Expert strength λ",
            description="Factor of the expert's task vector; 1 keeps the expert as it is.",
            ge=0,
            le=5,
            json_schema_extra={"step": 0.05},
        ),
    ] = 1.0,
) -> Tensor:  # [n] float32, weights of the merge
    """Give a continually pretrained expert the ability to follow instructions and chat.

    When to use: an expert of a domain, no instruction data of that domain, and an instruct model
    of the same base.

    Formula: theta_expert + alpha (theta_instruct - theta_0), the chat vector of arXiv:2310.04799;
    with lambda other than 1: theta_0 + lambda (theta_expert - theta_0) + alpha (theta_instruct -
    theta_0).
    """
    expert, instruct = models
    total = (instruct - base) * alpha
    total += expert
    # written as a correction, so that lambda = 1 starts from the expert's own bits
    if expert_scale != 1.0:
        total += (expert - base) * (expert_scale - 1.0)
    return total
