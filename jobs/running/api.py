"""What screens and terminal ask of the queue.

Each call returns at once; the worker does the work. What a press of *Merge and benchmark* becomes
is in `jobs.running.groups`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db.engine import session, transaction
from db.tables import Dependency, Job
from jobs import kinds
from jobs.errors import JobError
from jobs.running import duplicates, queue
from jobs.running.groups import benchmark, merge_and_benchmark
from jobs.running.order import change_priority, move, set_priority
from jobs.running.pausing import pause, pause_group, pause_queue, resume, resume_queue

__all__ = [
    "benchmark",
    "cancel",
    "cancel_group",
    "change_priority",
    "merge_and_benchmark",
    "move",
    "pause",
    "pause_group",
    "pause_queue",
    "resume",
    "resume_queue",
    "retry",
    "set_priority",
    "submit",
]


def submit(
    kind: str,
    spec: Mapping[str, Any],
    *,
    title: str,
    group: str | None = None,
    priority: int = 0,
    needs: Sequence[int] = (),
    once: bool = False,
) -> int:
    """Put one job into the queue and return its number.

    Args:
        kind: what to run: "merge", "evaluate", "similarity" or "sandbox_build".
        spec: its arguments, JSON-able.
        title: a line for the user.
        group: name that ties together the jobs of one press.
        priority: higher runs first.
        needs: jobs that must be done before; if one of them fails, this one fails too.
        once: when an open job does just this, return that one's number instead.

    Raises:
        JobError: an unknown kind, or a spec that is not JSON.
        DatabaseError: the database cannot be written.
    """
    if kind not in kinds.known():
        raise JobError(f"There is no job kind {kind!r}. There are: {', '.join(kinds.known())}.")
    try:
        plain = json.loads(json.dumps(dict(spec), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise JobError(f"The arguments of “{title}” are not JSON: {error}.") from error
    with transaction() as opened:
        job = Job(kind=kind, spec=plain, title=title, group=group, priority=priority)
        if once:
            return duplicates.add_once(opened, job, needs).id
        return queue.add(opened, job, needs)


def cancel(job_id: int) -> bool:
    """Ask for a job to be stopped; False when it had ended already. Queued jobs stop at once."""
    with transaction() as opened:
        return _cancel(opened, job_id)


def cancel_group(group: str) -> int:
    """Ask for every open job of a group to be stopped; return how many there were."""
    with transaction() as opened:
        query = select(Job.id).where(Job.group == group, Job.state.in_(("queued", "running")))
        return sum([_cancel(opened, job_id) for job_id in opened.scalars(query).all()])


def retry(job_id: int) -> int:
    """Put a failed or cancelled job into the queue again and return its number.

    What it needs and had failed is queued again too, and so is what had not been run because of it.

    Raises:
        JobError: there is no such job, it has not failed, or another one does the same now.
    """
    with transaction() as opened:
        row = opened.get(Job, job_id)
        if row is None:
            raise JobError(f"There is no job {job_id}.")
        if row.state not in ("failed", "cancelled"):
            raise JobError(f"Job {job_id} is {row.state}: only a failed or cancelled one restarts.")
        same = duplicates.open_twin_of(opened, row)
        if same is not None:
            raise JobError(f"Job {same.id} does the same already. Wait for it, or cancel it first.")
        _requeue(opened, row)
    return job_id


def open_jobs(group: str) -> list[int]:
    """Numbers of a group's jobs that wait or run."""
    with session() as opened:
        query = select(Job.id).where(Job.group == group, Job.state.in_(("queued", "running")))
        return list(opened.scalars(query))


def _cancel(opened: Session, job_id: int) -> bool:
    row = opened.get(Job, job_id)
    if row is None or row.state not in ("queued", "running"):
        return False
    if row.state == "running":
        opened.execute(update(Job).where(Job.id == job_id).values(cancel_requested=True))
        return True
    row.state, row.ended, row.cancel_requested = "cancelled", time.time(), True
    opened.flush()
    queue.end_dependents(opened, job_id, "cancelled")
    return True


def _requeue(opened: Session, row: Job) -> None:
    row.state, row.error, row.result, row.ended = "queued", None, None, None
    row.deaths, row.cancel_requested, row.paused, row.stage = 0, False, False, ""
    row.done = row.total = 0.0
    opened.flush()
    stuck = Job.state.in_(("failed", "cancelled"))
    needed = select(Job).join(Dependency, Dependency.needs_id == Job.id)
    for other in opened.scalars(needed.where(Dependency.job_id == row.id, stuck)).all():
        _requeue(opened, other)
    # Only what never ran on its own account: a dependent that failed by itself stays as it is.
    waiting = select(Job).join(Dependency, Dependency.job_id == Job.id)
    waiting = waiting.where(Dependency.needs_id == row.id, stuck, Job.attempt == 0)
    for other in opened.scalars(waiting).all():
        _requeue(opened, other)
