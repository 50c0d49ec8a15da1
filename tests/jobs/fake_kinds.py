"""Job kinds for the tests: fast, and as badly behaved as asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def run(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Count to `steps`, and do what the spec says on the way.

    Args:
        spec: `steps`, `seconds` for each; `marks` (file that gets a line per start); `die` (signal
            to die of at the first start), `always_die`; `fail` (message); `stubborn` (ignores
            SIGTERM); `grandchild` (file that gets the pid of a process it starts); `threads`.
    """
    if spec.get("marks"):
        with Path(spec["marks"]).open("a") as file:
            file.write(f"{os.getpid()}\n")
    if spec.get("stubborn"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if spec.get("grandchild"):
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(spec["grandchild"]).write_text(str(process.pid))
    print("this goes to the log, {not an event}", flush=True)
    steps = int(spec.get("steps", 3))
    yield {"kind": "stage", "stage": "Counting"}
    for step in range(steps):
        time.sleep(spec.get("seconds", 0.01))
        yield {"kind": "progress", "stage": "Counting", "done": step + 1, "total": steps,
               "unit": "steps"}  # fmt: skip
    starts = len(Path(spec["marks"]).read_text().splitlines()) if spec.get("marks") else 1
    if spec.get("always_die") or (spec.get("die") and starts == 1):
        os.kill(os.getpid(), spec.get("die") or spec["always_die"])
        time.sleep(60)
    if spec.get("fail"):
        raise RuntimeError(spec["fail"])
    result: dict[str, Any] = {"kind": "result", "steps": steps}
    if spec.get("threads"):
        result["sum"] = _threaded(spec["threads"])
    yield result


def _threaded(threads: int) -> float:
    """A computation that torch spreads over threads; it hangs if a pool was forked."""
    import torch

    torch.set_num_threads(threads)
    return float((torch.ones(2000, 2000) @ torch.ones(2000, 10)).sum()) + float(
        torch.ones(4_000_000).exp().log().sum()
    )
