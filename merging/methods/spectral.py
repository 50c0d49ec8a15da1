"""Merging by singular values: task vectors as matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from merging.methods.matrices import gram_matrix, inverse_root, leading, times
from merging.methods.registry import merge_method
from merging.methods.sums import weighted
from merging.methods.task_arithmetic import Scale

if TYPE_CHECKING:
    from torch import Tensor


def _by_matrices(
    deltas: Sequence[Tensor],
    weights: Sequence[float],
    shape: Sequence[int],
    merge: Callable[[list[Tensor]], Tensor],
) -> Tensor:
    """Merge task vectors matrix by matrix, as tall ones.

    Args:
        deltas: K x `[n]` float32, whole tensors.
        weights: K coefficients.
        shape: of the tensor. The last two dimensions are the matrix; any before them count several.
        merge: from K matrices `[rows, columns]`, rows >= columns, to one.

    Returns:
        `[n]` float32; for tensors of less than two dimensions the mean of w_i tau_i.
    """
    import torch

    if len(shape) < 2 or not deltas[0].numel():
        return weighted(deltas, [weight / len(deltas) for weight in weights])
    rows, columns = shape[-2:]
    merged = []
    stacks = [delta.view(-1, rows, columns) for delta in deltas]
    for place in range(stacks[0].shape[0]):
        matrices = [stack[place] for stack in stacks]
        if rows >= columns:
            merged.append(merge(matrices))
        else:
            merged.append(merge([matrix.T for matrix in matrices]).T)
    return torch.stack(merged).flatten()


@merge_method(title="TSV-M", models=(1, None), paper="2412.00081")
def tsv_m(
    base: Tensor,  # [n] float32, weights of the base theta_0, the whole tensor
    deltas: Sequence[Tensor],  # K x [n] float32, task vectors theta_i - theta_0
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

    Memory: about 2 K + 4 times the tensor in float32, and three times the square of its shorter
    side in float64. The decomposition goes by the Gram matrix of the shorter side (see matrices).
    """

    def merge(matrices: list[Tensor]) -> Tensor:
        import torch

        count = max(1, int(share * matrices[0].shape[1] / len(matrices)))
        parts = [leading(matrix, count) for matrix in matrices]
        left = torch.cat([part[0] for part in parts], dim=1)
        right = torch.cat([part[2] for part in parts], dim=1)
        values = [part[1] * weight for part, weight in zip(parts, weights, strict=True)]
        middle = inverse_root(gram_matrix(left)) * torch.cat(values)
        return times(left, middle @ inverse_root(gram_matrix(right)) @ right.T)

    merged = _by_matrices(deltas, weights, shape, merge)
    merged *= scale
    merged += base
    return merged


@merge_method(title="Iso-C", models=(1, None), paper="2502.04959")
def iso_c(
    base: Tensor,  # [n] float32, weights of the base theta_0, the whole tensor
    deltas: Sequence[Tensor],  # K x [n] float32, task vectors theta_i - theta_0
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

    def merge(matrices: list[Tensor]) -> Tensor:
        total = weighted(matrices, weights)
        _, values, vectors = leading(total, total.shape[1])
        # U V^T = Delta V S^-1 V^T = Delta (Delta^T Delta)^(-1/2)
        inverse = values.masked_fill(values > 0, 1.0) / values.masked_fill(values <= 0, 1.0)
        return times(total, (vectors * inverse * values.mean()) @ vectors.T)

    merged = _by_matrices(deltas, weights, shape, merge)
    merged *= scale
    merged += base
    return merged
