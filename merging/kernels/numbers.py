"""The types of numbers in compiled code: numpy's, which numba takes for its own.

They are `Any` here because in compiled code a conversion gives a plain number, not numpy's object.
Taking them from numba would import it in every process that merges.
"""

from __future__ import annotations

from typing import Any

import numpy as np

uint8: Any = np.uint8
uint16: Any = np.uint16
uint32: Any = np.uint32
uint64: Any = np.uint64
int32: Any = np.int32
int64: Any = np.int64
float32: Any = np.float32
float64: Any = np.float64
