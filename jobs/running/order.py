"""The order of what waits, as the user wants it: priorities, and places among equal ones."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import transaction
from db.queries.jobs import OPEN_STATES, ORDER
from db.tables import Dependency, Job
from jobs.errors import JobError

MOST_PRIORITY = 100
Where = Literal["first", "earlier", "later", "last"]


def set_priority(job_id: int, priority: int) -> None:
    """Give an open job a priority; higher runs first. What it needs gets no less.

    Raises:
        JobError: there is no such job, it has ended, or the number is out of range.
    """
    with transaction() as opened:
        _prioritise(opened, _open_job(opened, job_id), priority)


def change_priority(job_id: int, by: int) -> int:
    """Raise or lower an open job's priority; return what it is now.

    Raises:
        JobError: there is no such job, it has ended, or the number would be out of range.
    """
    with transaction() as opened:
        row = _open_job(opened, job_id)
        _prioritise(opened, row, row.priority + by)
        return row.priority


def move(job_id: int, where: Where) -> None:
    """Move a waiting job in the queue; it takes the priority of those it then stands among.

    Raises:
        JobError: there is no such job, or it does not wait.
    """
    with transaction() as opened:
        row = _open_job(opened, job_id)
        if row.state != "queued":
            raise JobError(f"Job {job_id} is running: only a waiting one can be moved.")
        waiting = list(opened.scalars(select(Job).where(Job.state == "queued").order_by(*ORDER)))
        at = waiting.index(row)
        last = len(waiting) - 1
        to = {"first": 0, "earlier": max(0, at - 1), "later": min(last, at + 1), "last": last}
        if to[where] == at:
            return
        passed = waiting[to[where]]  # stands behind (going earlier) or before it afterwards
        waiting.insert(to[where], waiting.pop(at))
        row.priority = passed.priority
        _place(waiting, to[where])


def _place(order: list[Job], at: int) -> None:
    """Give the job at an index a place between its neighbours of the same priority."""
    row = order[at]
    equal = [one for one in order if one.priority == row.priority]
    at = equal.index(row)
    before = equal[at - 1].place if at else None
    after = equal[at + 1].place if at + 1 < len(equal) else None
    if before is None:
        row.place = (after or 0.0) - 1
    elif after is None:
        row.place = before + 1
    else:
        row.place = (before + after) / 2
        if not before < row.place < after:  # no number is left between them
            for place, one in enumerate(equal):
                one.place = equal[0].place + place


def _prioritise(opened: Session, row: Job, priority: int) -> None:
    if abs(priority) > MOST_PRIORITY:
        raise JobError(f"A priority is a whole number from -{MOST_PRIORITY} to {MOST_PRIORITY}.")
    row.priority = priority
    opened.flush()
    needed = select(Job).join(Dependency, Dependency.needs_id == Job.id)
    behind = needed.where(
        Dependency.job_id == row.id, Job.state.in_(OPEN_STATES), Job.priority < priority
    )
    for other in opened.scalars(behind).all():
        _prioritise(opened, other, priority)


def _open_job(opened: Session, job_id: int) -> Job:
    row = opened.get(Job, job_id)
    if row is None:
        raise JobError(f"There is no job {job_id}.")
    if row.state not in OPEN_STATES:
        raise JobError(f"Job {job_id} is {row.state}: its order can't be changed any more.")
    return row
