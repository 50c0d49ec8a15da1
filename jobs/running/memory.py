"""Jobs that memory ran out for: they are tried again with half as much in memory at a time.

Memory runs out in two ways: an allocation is refused, which the job's process tells, or the kernel
kills the process, which looks like any other SIGKILL but is counted by the kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from db.engine import session, transaction
from db.tables import Job
from jobs.running import queue
from jobs.running.queue import Claim

MOST_HALVINGS = 5  # a batch of 1/32 is tried; what does not fit then is given up
HALVED = {"merge": "chunk", "evaluate": "batch", "study": "batch"}  # kinds that can take less
KERNEL_COUNTS = Path("/proc/vmstat")


def kills() -> int | None:
    """How many processes the kernel has killed for memory since it started; None: unknown."""
    try:
        text = KERNEL_COUNTS.read_text("ascii")
    except OSError:
        return None
    counts = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
    return int(counts["oom_kill"]) if "oom_kill" in counts else None


def killed_since(before: int | None) -> bool:
    """Whether the kernel has killed something for memory since `before` was read."""
    now = kills()
    return before is not None and now is not None and now > before


def options(held: Claim) -> dict[str, Any]:
    """What a job's process is told: how often to halve, and whether it is the last try."""
    if held.kind not in HALVED:
        return {}
    with session() as opened:
        row = opened.get(Job, held.job_id)
        halvings = _halvings(row.result if row else None)
    return {"halvings": halvings, "last_try": halvings >= MOST_HALVINGS} if halvings else {}


def told(kind: str, result: Mapping[str, Any] | None) -> str | None:
    """What a job's page says of it; None where memory has not run out."""
    halvings = _halvings(result)
    if not halvings:
        return None
    times = "Memory ran out" if halvings == 1 else f"Memory ran out {halvings} times"
    return f"{times}: tried again with 1/{2**halvings} of the usual {HALVED.get(kind, 'batch')}."


def again(held: Claim) -> str:
    """Queue a job again that memory ran out for, to take half as much; or give it up.

    Returns:
        The state that the job is in now.

    Raises:
        Fenced: the job is no longer ours.
    """
    with transaction() as opened:
        queue.write(opened, held)
        row = opened.get_one(Job, held.job_id)
        halvings = _halvings(row.result) + 1
        if row.cancel_requested or (halvings > MOST_HALVINGS and row.kind == "study"):
            queue.bury(opened, row, "memory ran out")  # its next attempt leaves the point out
        elif halvings > MOST_HALVINGS:
            queue.end(opened, row, "failed",
                      f"The machine ran out of memory {halvings} times, at last with "
                      f"1/{2**MOST_HALVINGS} of the usual {HALVED[row.kind]}. Close other programs "
                      "and try again, or use a smaller model.")  # fmt: skip
        else:
            row.result = {**(row.result or {}), "halvings": halvings}
            row.state, row.lease_until, row.worker, row.rate = "queued", None, None, None
            row.error = None  # `told` says it
        return row.state


def _halvings(result: Mapping[str, Any] | None) -> int:
    return int((result or {}).get("halvings", 0))
