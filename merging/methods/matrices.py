"""Decompositions of large matrices by the Gram matrix of their shorter side, in float64.

A matrix `[m, n]` with m >= n has the right singular vectors and the squared singular values as
eigenvectors and eigenvalues of its `[n, n]` Gram matrix. That costs an eigendecomposition of the
shorter side alone, so an embedding of 150,000 rows is no dearer than a square matrix of its width.
Squaring halves the digits: singular values down to 1e-6 of the largest are right to four digits, at
1e-3 to ten, and smaller ones than 1e-6 are taken for zero. The task vectors of float32 weights have
no more to give: their own rounding is of that size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# of the largest singular value; what is smaller counts as zero
NEGLIGIBLE = 1e-6
# elements that are widened to float64 at a time
PIECE = 1 << 22


def gram_matrix(matrix: Tensor) -> Tensor:
    """`[n, n]` float64: the scalar products of the columns of a matrix `[m, n]`."""
    import torch

    n = matrix.shape[1]
    found = torch.zeros(n, n, dtype=torch.float64, device=matrix.device)
    for piece in matrix.split(_rows(n)):
        wide = piece.double()
        found += wide.T @ wide
    return found


def times(matrix: Tensor, right: Tensor) -> Tensor:
    """`[m, k]` float32: a matrix `[m, n]` float32 times another `[n, k]` float64."""
    import torch

    out = torch.empty(matrix.shape[0], right.shape[1], device=matrix.device)
    step = _rows(max(right.shape))
    for source, target in zip(matrix.split(step), out.split(step), strict=True):
        target.copy_(source.double() @ right)
    return out


def leading(matrix: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The largest singular values of a matrix and their vectors.

    Args:
        matrix: `[m, n]` float32 with m >= n.
        count: how many, k <= n.

    Returns:
        Left vectors `[m, k]` float32, values `[k]` float64, right vectors `[n, k]` float64. What
        belongs to a negligible value is zero.
    """
    import torch

    squares, vectors = torch.linalg.eigh(gram_matrix(matrix))
    values = squares.flip(0)[:count].clamp(min=0).sqrt()
    values = values.masked_fill(values <= NEGLIGIBLE * values[0], 0.0)
    vectors = vectors.flip(1)[:, :count] * (values > 0)
    return times(matrix, vectors * _inverse(values)), values, vectors


def inverse_root(square: Tensor) -> tuple[Tensor, float]:
    """The inverse square root of a Gram matrix, on the space that it spans.

    Args:
        square: `[n, n]` float64, A^T A.

    Returns:
        `[n, n]` float64, and the sum of the singular values of A.
    """
    import torch

    squares, vectors = torch.linalg.eigh(square)
    values = squares.clamp(min=0).sqrt()
    values = values.masked_fill(values <= NEGLIGIBLE * values[-1], 0.0)
    return (vectors * _inverse(values)) @ vectors.T, float(values.sum())


def _inverse(values: Tensor) -> Tensor:
    """1/x, and 0 for 0."""
    import torch

    return torch.where(values > 0, 1 / values, 0.0)


def _rows(width: int) -> int:
    return max(1, PIECE // max(width, 1))
