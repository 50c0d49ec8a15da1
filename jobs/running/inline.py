"""Run a group of jobs to its end from a terminal, recorded like everything else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from db import settings
from db.queries import jobs as job_rows
from db.queries.jobs import JobRow
from jobs import caches, devices
from jobs.running import api, lock
from jobs.running.launch import best_launcher
from jobs.running.runner import Runner

OnChange = Callable[[Sequence[JobRow]], None]
POLL_SECONDS = 0.25


def run_group_inline(group: str, on_change: OnChange, *, slots: int | None = None) -> list[JobRow]:
    """Run a group's jobs in child processes of this one until all have ended; return them.

    A live worker may take some of the jobs; that is waited for. Where there are GPUs and a live
    worker, it takes all of them: two jobs on one GPU would fight over its memory.

    Args:
        group: from `jobs.running.api`.
        on_change: gets the group's rows several times a second.
        slots: jobs at a time on a CPU; default 1. Each gets its share of the cores.

    Raises:
        KeyboardInterrupt: after the group was cancelled and its processes have ended.
    """
    if not api.open_jobs(group):
        return _told(group, on_change)
    caches.use_home()
    places = devices.devices()
    if places == ["cpu"]:
        places = ["cpu"] * max(1, slots or 1)
    elif lock.workers():
        places = []
    launcher = best_launcher(log=settings.logs_folder() / "worker.log")
    runner = Runner(places, launcher, group=group, threads=_threads(len(places)))
    try:
        due = 0.0
        while runner.runs or api.open_jobs(group):
            runner.step(POLL_SECONDS)
            if time.monotonic() >= due:  # a step ends with every event; reading the rows costs more
                due = time.monotonic() + POLL_SECONDS
                _told(group, on_change)
    except KeyboardInterrupt:
        api.cancel_group(group)
        for run in runner.runs:
            run.stop("cancel")
        raise
    finally:
        runner.close()
    return _told(group, on_change)


def _told(group: str, on_change: OnChange) -> list[JobRow]:
    rows = job_rows.group(group)
    on_change(rows)
    return rows


def _threads(places: int) -> int | None:

    return max(1, (os.cpu_count() or 1) // places) if places > 1 else None
