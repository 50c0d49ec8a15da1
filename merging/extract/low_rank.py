"""The best approximation of a matrix by one of low rank."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

# beyond the rank that is asked for, and passes over the matrix: Halko, Martinsson and Tropp
# (arXiv:0909.4061, algorithm 4.4) find the leading singular vectors within a fraction of a percent
# of the best with these even where the singular values fall slowly, as those of task vectors do
OVERSAMPLING = 24
POWER_ITERATIONS = 4
EXACT_ELEMENTS = 1 << 20


class LowRank(NamedTuple):
    """An approximation left @ right.

    Attributes:
        left: B, `[rows, rank]`.
        right: A, `[rank, columns]`.
        captured: share of the squared norm that it holds, 0 to 1.
        norm: of the whole matrix.
    """

    left: Tensor
    right: Tensor
    captured: float
    norm: float


def approximate(matrix: Tensor, rank: int, name: str) -> LowRank:
    """Truncated singular value decomposition, its values halved between both factors.

    Small matrices, and ranks near a matrix's own, are decomposed as a whole in float64; large ones
    by a randomised method in float32 whose random numbers belong to the name.

    Args:
        matrix: `[rows, columns]` float32, finite.
        rank: at most the smaller side.
        name: of the tensor.
    """
    import torch

    norm = float(matrix.double().norm()) if matrix.numel() <= EXACT_ELEMENTS else _norm(matrix)
    if norm == 0.0:
        left = matrix.new_zeros(matrix.shape[0], rank)
        return LowRank(left, matrix.new_zeros(rank, matrix.shape[1]), 1.0, 0.0)
    if matrix.numel() <= EXACT_ELEMENTS or 3 * (rank + OVERSAMPLING) >= min(matrix.shape):
        wide = matrix.double() if matrix.numel() <= EXACT_ELEMENTS else matrix
        u, s, vh = torch.linalg.svd(wide, full_matrices=False)
    else:
        u, s, vh = _randomised(matrix, rank + OVERSAMPLING, name)
    u, s, vh = u[:, :rank], s[:rank], vh[:rank]
    root = s.sqrt()
    captured = float(s.double().square().sum()) / norm**2
    left, right = (u * root).float(), (root[:, None] * vh).float()
    return LowRank(left, right, min(captured, 1.0), norm)


def _randomised(matrix: Tensor, width: int, name: str) -> tuple[Tensor, Tensor, Tensor]:
    """Leading singular vectors and values by subspace iteration from a random start."""
    import torch

    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") >> 1
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(matrix.shape[1], width, generator=generator).to(matrix.device)
    q, _ = torch.linalg.qr(matrix @ start)
    for _ in range(POWER_ITERATIONS):
        q, _ = torch.linalg.qr(matrix.T @ q)
        q, _ = torch.linalg.qr(matrix @ q)
    inner, s, vh = torch.linalg.svd(q.T @ matrix, full_matrices=False)
    return q @ inner, s, vh


def _norm(matrix: Tensor) -> float:
    """Frobenius norm in float64, a few rows at a time."""
    return float(sum(float(part.double().square().sum()) for part in matrix.split(64))) ** 0.5
