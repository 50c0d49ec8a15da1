"""The product of two low-rank matrices, added to a block of rows.

BLAS takes half the time at rank 256 (and as long at 16), but its order of additions depends on the
number of its threads and on the machine. Here every element is one sum in the order of the ranks,
so that a LoRA's weights are the same bits everywhere.
"""

from __future__ import annotations

import numpy as np

from merging.kernels.compiled import MODELS, compiled

TILE = 2048  # columns at a time: their sums, and the right side's rows, stay in the cache


@compiled(f"void({MODELS}, {MODELS}, float32, float32[:, ::1])")
def add_product(left: np.ndarray, right: np.ndarray, scaling: np.float32, out: np.ndarray) -> None:
    """Add scaling * left @ right to out.

    Args:
        left: `[rows, r]` float32.
        right: `[r, columns]` float32.
        scaling: factor of the finished sums.
        out: `[rows, columns]` float32.
    """
    rows, rank = left.shape
    columns = right.shape[1]
    sums = np.empty(TILE, np.float32)
    for first in range(0, columns, TILE):
        width = min(TILE, columns - first)
        for i in range(rows):
            for j in range(width):
                sums[j] = 0.0
            for k in range(0, rank - rank % 4, 4):
                a, b, c, d = left[i, k], left[i, k + 1], left[i, k + 2], left[i, k + 3]
                one = right[k, first : first + width]
                two = right[k + 1, first : first + width]
                three = right[k + 2, first : first + width]
                four = right[k + 3, first : first + width]
                for j in range(width):
                    sums[j] = (((sums[j] + a * one[j]) + b * two[j]) + c * three[j]) + d * four[j]
            for k in range(rank - rank % 4, rank):
                a = left[i, k]
                one = right[k, first : first + width]
                for j in range(width):
                    sums[j] += a * one[j]
            for j in range(width):
                out[i, first + j] += scaling * sums[j]
