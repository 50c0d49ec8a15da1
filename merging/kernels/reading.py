"""Reading bfloat16 from files and looking for NaN and infinity, without Python in between."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from merging.kernels.compiled import Part, compiled, inlined
from merging.kernels.numbers import int64, uint16

if TYPE_CHECKING:
    from numpy.typing import NDArray

BYTES = 2
# (int32 descriptor, int64 place in the file, array, int64 first byte there, int64 bytes) -> int64
read: Any = Part(lambda: import_module("merging.kernels.vectors").read)


@inlined
def _is_finite(row: Any) -> Any:
    """Whether all of some bfloat16 numbers, as uint16, are finite."""
    largest = uint16(0)
    for i in range(row.size):
        largest = max(largest, uint16(row[i] & uint16(0x7FFF)))
    return largest < uint16(0x7F80)


@compiled("int64(Array(uint16, 2, 'C', readonly=True))")
def first_not_finite(rows: NDArray[np.uint16]) -> int:
    """The first row of bfloat16 `[M, n]` that holds NaN or infinity; -1 where none does."""
    for number in range(rows.shape[0]):
        if not _is_finite(rows[number]):
            return number
    return -1


@compiled("boolean(int32[::1], int64[::1], int64, uint16[:, ::1])")
def read_rows(
    files: NDArray[np.int32], places: NDArray[np.int64], start: int, rows: NDArray[np.uint16]
) -> bool:
    """Read bfloat16 numbers of several files.

    Args:
        files: `[M]` descriptors.
        places: `[M]` bytes at which the tensors begin.
        start: first number of the tensors that is read.
        rows: `[M, n]`, filled.

    Returns:
        Whether all of them were read and are finite; what is wrong else, others may find out.
    """
    n_bytes = int64(BYTES * rows.shape[1])
    for number in range(rows.shape[0]):
        row = rows[number]
        done = int64(0)
        while done < n_bytes:
            place = places[number] + BYTES * start + done
            count = read(files[number], place, row, done, n_bytes - done)
            if count <= 0:
                return False
            done += count
        if not _is_finite(row):
            return False
    return True
