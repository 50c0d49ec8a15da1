"""A job kind that memory runs out for until it takes little enough."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def run(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """End well once memory has been halved often enough.

    Args:
        spec: `enough` (halvings), `how` ("told": a MemoryError; "killed": as the kernel does it,
            which then counts one more in the file `counts`; "other": killed without being counted).
    """
    yield {"kind": "stage", "stage": "Filling the memory"}
    halvings = int(spec.get("halvings", 0))
    if halvings < int(spec["enough"]):
        if spec["how"] == "told":
            raise MemoryError
        if spec["how"] == "killed":
            counts = Path(spec["counts"])
            before = int(counts.read_text().split()[1])
            counts.write_text(f"oom_kill {before + 1}\n")
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    yield {"kind": "result", "taken": halvings}
