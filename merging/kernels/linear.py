"""Weighted sums without statistics: linear, passthrough, task arithmetic, instruction residual."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from merging.kernels.chunks import Chunk, Kernel
from merging.kernels.compiled import MODELS, VECTOR
from merging.kernels.numbers import float32
from merging.kernels.rows import of_rows, single
from merging.kernels.weighted import add_up
from merging.methods.per_model import each
from merging.methods.sums import divided

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def linear(chunk: Chunk, _: Any, *, normalize: bool) -> None:
    """`merging.methods.linear`."""
    add_up(chunk, chunk.weights, divisor=sum(chunk.weights) if normalize else 1.0)


def passthrough(chunk: Chunk, _: Any, *, scale: float | Sequence[float]) -> None:
    """`merging.methods.passthrough`."""
    add_up(chunk, each(scale, 1))


def task_arithmetic(chunk: Chunk, _: Any, *, scale: float, normalize: bool) -> None:
    """`merging.methods.task_arithmetic`."""
    add_up(chunk, divided(chunk.weights, normalize=normalize), scale=scale)


def instruction_residual(chunk: Chunk, _: Any, *, alpha: float, expert_scale: float) -> None:
    """`merging.methods.task_arithmetic.instruction_residual`."""
    residual_sum(chunk.models, chunk.origin, alpha, expert_scale - 1.0, chunk.out)


@of_rows(f"void({MODELS}, {VECTOR}, float32, float64, float32[::1])")
def residual_sum(
    models: NDArray[np.float32],
    base: NDArray[np.float32],
    alpha: float,
    excess: float,
    out: NDArray[np.float32],
) -> None:
    """`expert + alpha (instruct - base) + excess (expert - base)`, in that order."""
    expert, instruct = models[0], models[1]
    for i in range(out.size):
        own = single(expert, i)
        out[i] = (single(instruct, i) - single(base, i)) * alpha + own
    if excess != 0.0:
        factor = float32(excess)
        for i in range(out.size):
            out[i] += (single(expert, i) - single(base, i)) * factor


KERNELS = {
    "linear": Kernel(linear),
    "passthrough": Kernel(passthrough),
    "task_arithmetic": Kernel(task_arithmetic),
    "instruction_residual": Kernel(instruction_residual),
}
