"""What a job leaves behind whose process was killed, and could not clean up itself."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def after(spec: Mapping[str, Any]) -> threading.Thread | None:
    """Remove the half-written folder of a killed job, beside the worker's own work.

    Folders that another process writes at this moment are locked by it, and stay.

    Returns:
        The thread at work; None for a job that writes no folder.
    """
    out = spec.get("out")
    if not out:
        return None
    thread = threading.Thread(target=_remove, args=(Path(str(out)).parent,), name="tidy")
    thread.start()
    return thread


def _remove(folder: Path) -> None:
    from merging.output.partial import remove_leftovers

    with contextlib.suppress(OSError):
        remove_leftovers(folder)
