"""Merging by singular values: task vectors as matrices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from merging.methods.matrices import gram_matrix, inverse_root, leading, times
from merging.methods.registry import merge_method
from merging.methods.sums import weighted
from merging.methods.task_arithmetic import Scale

if TYPE_CHECKING:
    from torch import Tensor


def _by_matrices(
    base: Tensor,
    models: Sequence[Tensor],
    weights: Sequence[float],
    shape: Sequence[int],
    merge: Callable[[Iterator[Tensor]], Tensor],
) -> Tensor:
    """Merge task vectors matrix by matrix, as tall ones.

    Args:
        base: `[n]` float32, the whole tensor.
        models: K x `[n]` float32.
        weights: K coefficients.
        shape: of the tensor. The last two dimensions are the matrix; any before them count several.
        merge: from K matrices tau_i `[rows, columns]`, rows >= columns, to one. They are made as it
            asks for them, so that not all are in memory.

    Returns:
        `[n]` float32; for tensors of less than two dimensions the mean of w_i tau_i.
    """
    import torch

    if len(shape) < 2 or not base.numel():
        deltas = [model - base for model in models]
        return weighted(deltas, [weight / len(deltas) for weight in weights])
    merged = torch.empty_like(base)
    starts, results = (flat.view(-1, *shape[-2:]) for flat in (base, merged))
    stacks = [model.view(-1, *shape[-2:]) for model in models]
    for place, (start, result) in enumerate(zip(starts, results, strict=True)):
        deltas_here = (stack[place] - start for stack in stacks)
        if shape[-2] >= shape[-1]:
            result.copy_(merge(deltas_here))
        else:
            result.copy_(merge(delta.T for delta in deltas_here).T)
    return merged


@merge_method(title="TSV-M", models=(1, None), paper="2412.00081")
def tsv_m(
    base: Tensor,  # [n] float32, weights of the base theta_0, the whole tensor
    models: Sequence[Tensor],  # K x [n] float32, weights theta_i
    weights: Sequence[float],  # K coefficients w_i
    shape: tuple[int, ...],  # of the tensor
    *,
    share: Annotated[
        float,
        Field(
            title="Rank share",
            description="How much each expert keeps of its equal share 1/K of the rank: its "
            "largest singular values.",
            ge=0.01,
            le=1,
            json_schema_extra={"step": 0.01},
        ),
    ] = 1.0,
    scale: Scale = 1.0,
) -> Tensor:  # [n] float32, weights of the merge
    """Keep the main directions of each expert's changes, and turn them so that they don't collide.

    When to use: several experts of different skills; slow on a CPU, as every matrix is decomposed.

    Formula: Delta_i ~ U_i S_i V_i^T with the k = max(1, int(share r / K)) largest of its r singular
    values; U = [U_1 .. U_K] and V likewise, each replaced by the nearest matrix with orthonormal
    columns (Procrustes: U (U^T U)^(-1/2)); theta_0 + lambda U diag(w_i S_i) V^T. Task Singular
    Vectors, arXiv:2412.00081; there all w_i are 1. Tensors of one dimension: theta_0 + lambda
    mean_i w_i tau_i, as there. Decided here: embeddings are matrices like any other, more than two
    dimensions are a stack of matrices, and directions that several experts share exactly count
    once, with the mean of their strengths.

    Memory: about K + 5 times the tensor in float32, and four times the square of its shorter side
    in float64. The decomposition goes by the Gram matrix of the shorter side (see matrices).
    """

    def merge(matrices: Iterator[Tensor]) -> Tensor:
        import torch

        count = max(1, int(share * min(shape[-2:]) / len(models)))
        parts = [leading(matrix, count) for matrix in matrices]
        left = torch.cat([part[0] for part in parts], dim=1)
        right = torch.cat([part[2] for part in parts], dim=1)
        values = [part[1] * weight for part, weight in zip(parts, weights, strict=True)]
        middle = inverse_root(gram_matrix(left))[0] * torch.cat(values)
        return times(left, middle @ inverse_root(gram_matrix(right))[0] @ right.T)

    merged = _by_matrices(base, models, weights, shape, merge)
    merged *= scale
    merged += base
    return merged


@merge_method(title="Iso-C", models=(1, None), paper="2502.04959")
def iso_c(
    base: Tensor,  # [n] float32, weights of the base theta_0, the whole tensor
    models: Sequence[Tensor],  # K x [n] float32, weights theta_i
    weights: Sequence[float],  # K coefficients w_i
    shape: tuple[int, ...],  # of the tensor
    *,
    scale: Scale = 1.0,
) -> Tensor:  # [n] float32, weights of the merge
    """Add up the experts' changes, and make all their directions equally strong.

    When to use: many experts whose common strong directions drown the weaker ones; slow on a CPU.

    Formula: sum_i w_i Delta_i = U S V^T with r singular values; theta_0 + lambda (mean of S) U V^T.
    Isotropic merging in the common subspace, arXiv:2502.04959; there all w_i are 1. Tensors of one
    dimension: theta_0 + lambda mean_i w_i tau_i, as in the authors' experiments. Decided here: the
    mean is over all r = min(rows, columns) values, and directions below 1e-6 of the largest, which
    are rounding, stay zero and are not raised to it; embeddings are matrices like any other, and
    more than two dimensions a stack of matrices.

    Memory: about K + 5 times the tensor in float32, and three times the square of its shorter side
    in float64. The decomposition goes by the Gram matrix of the shorter side (see matrices).
    """

    def merge(matrices: Iterator[Tensor]) -> Tensor:
        total = next(matrices) * weights[0]
        for matrix, weight in zip(matrices, weights[1:], strict=True):
            total += matrix * weight
        # U V^T = Delta (Delta^T Delta)^(-1/2), and the trace of the root is the sum of S
        root, strength = inverse_root(gram_matrix(total))
        return times(total, root * (strength / total.shape[1]))

    merged = _by_matrices(base, models, weights, shape, merge)
    merged *= scale
    merged += base
    return merged
