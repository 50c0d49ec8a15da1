"""Writing to the disk while there is still something to compute."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache
from typing import Any

SYNC_FILE_RANGE_WRITE = 2


def begin_to_store(file: int, place: int, n_bytes: int) -> None:
    """Let the system begin to store a part of a file, so that `fsync` finds little left to do.

    Waits for nothing, as far as the disk's queue has room, and promises nothing: what goes wrong is
    told by `fsync`. Does nothing where the system has no such call.
    """
    begin = _sync_file_range()
    if begin is not None:
        begin(file, place, n_bytes, SYNC_FILE_RANGE_WRITE)


@cache
def _sync_file_range() -> Callable[..., Any] | None:
    """Linux's call, which Python has no name for."""
    if os.name != "posix":
        return None
    call = getattr(ctypes.CDLL(None, use_errno=True), "sync_file_range", None)
    if call is not None:
        call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return call
