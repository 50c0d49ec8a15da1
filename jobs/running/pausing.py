"""Holding jobs back: one, those of a press, or the whole queue.

What runs is ended and put back into the queue with its progress; what is kept of that depends on
the kind (an evaluation goes on with the next item, a merge begins again).
"""

from __future__ import annotations

import time

from sqlalchemy import select

from db.engine import session, transaction
from db.queries.jobs import OPEN_STATES, QUEUE_PAUSED
from db.tables import Job, Setting
from jobs.errors import JobError


def pause(job_id: int) -> None:
    """Hold a job back until it is resumed; a running one is put back with its progress.

    Raises:
        JobError: there is no such job, it has ended, or it is being cancelled.
    """
    _set(job_id, paused=True)


def resume(job_id: int) -> None:
    """Let a paused job go on when it is its turn.

    Raises:
        JobError: there is no such job, or it has ended.
    """
    _set(job_id, paused=False)


def pause_group(group: str, *, paused: bool = True) -> int:
    """Hold a group's open jobs back, or let them go on; return how many changed."""
    with transaction() as opened:
        query = select(Job).where(
            Job.group == group,
            Job.state.in_(OPEN_STATES),
            Job.cancel_requested.is_(False),
            Job.paused.is_(not paused),
        )
        rows = opened.scalars(query).all()
        for row in rows:
            row.paused = paused
        return len(rows)


def pause_queue(*, finish_running: bool = False) -> None:
    """Start nothing new until `resume_queue`.

    Args:
        finish_running: let what runs come to its end, instead of putting it back.
    """
    with transaction() as opened:
        value = {"since": time.time(), "finish_running": finish_running}
        opened.merge(Setting(key=QUEUE_PAUSED, value=value))


def resume_queue() -> None:
    """Let workers take jobs again. Jobs that were paused one by one stay so."""
    with transaction() as opened:
        row = opened.get(Setting, QUEUE_PAUSED)
        if row is not None:
            opened.delete(row)


def state_of_queue() -> dict[str, object] | None:
    """Since when the queue is paused and how, or None while it is not."""
    with session() as opened:
        row = opened.get(Setting, QUEUE_PAUSED)
        return dict(row.value) if row is not None else None


def _set(job_id: int, *, paused: bool) -> None:
    with transaction() as opened:
        row = opened.get(Job, job_id)
        if row is None:
            raise JobError(f"There is no job {job_id}.")
        if row.state not in OPEN_STATES or (paused and row.cancel_requested):
            state = "being cancelled" if row.state in OPEN_STATES else row.state
            verb = "paused" if paused else "resumed"
            raise JobError(f"Job {job_id} is {state}: only an open one can be {verb}.")
        row.paused = paused
