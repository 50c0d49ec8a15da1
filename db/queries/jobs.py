"""Jobs as screens and terminal show them: one row, a group, the queue, the end of a log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from db import settings
from db.engine import session
from db.tables import Dependency, Job, Setting

OPEN_STATES = ("queued", "running")
CLOSED_STATES = ("done", "failed", "cancelled")
ORDER = (Job.priority.desc(), Job.place, Job.id)  # in which waiting jobs are taken
QUEUE_PAUSED = "queue_paused"  # setting that is there while nothing new may start


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job. Times are UTC seconds since the epoch; `rate` is in units per second."""

    id: int
    kind: str
    title: str
    spec: dict[str, Any]
    state: str
    group: str | None
    priority: int
    place: float
    paused: bool
    attempt: int
    deaths: int
    max_attempts: int
    device: str | None
    worker: str | None
    cancel_requested: bool
    stage: str
    done: float
    total: float
    unit: str
    rate: float | None
    error: str | None
    result: dict[str, Any] | None
    created: float
    started: float | None
    ended: float | None

    @property
    def open(self) -> bool:
        """Whether the job still waits or runs."""
        return self.state in OPEN_STATES

    @property
    def fraction(self) -> float | None:
        """Share of the present stage that is done, 0 to 1; None while unknown."""
        if self.state == "done":
            return 1.0
        return min(1.0, self.done / self.total) if self.total > 0 else None

    @property
    def eta_seconds(self) -> float | None:
        """Seconds until the present stage ends at the present rate; None while unknown."""
        if self.state != "running" or not self.rate or self.rate <= 0 or self.total <= 0:
            return None
        return max(0.0, self.total - self.done) / self.rate

    @property
    def seconds(self) -> float | None:
        """How long the job has run, or ran; None before it starts."""
        if self.started is None:
            return None
        return max(0.0, (self.ended or time.time()) - self.started)


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How many jobs are in each state."""

    queued: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0


def job(job_id: int) -> JobRow | None:
    """One job, or None when there is none with that number."""
    with session() as opened:
        found = opened.get(Job, job_id)
        return row_of(found) if found else None


def group(name: str) -> list[JobRow]:
    """The jobs that were started by one press, in the order they were submitted."""
    with session() as opened:
        return [
            row_of(each)
            for each in opened.scalars(select(Job).where(Job.group == name).order_by(Job.id))
        ]


def recent(
    limit: int = 50, *, states: Sequence[str] = (), kind: str | None = None, search: str = ""
) -> list[JobRow]:
    """The newest jobs first, optionally of some states or one kind, or with a word in the title."""
    query = select(Job).order_by(Job.id.desc()).limit(limit)
    if states:
        query = query.where(Job.state.in_(states))
    if kind:
        query = query.where(Job.kind == kind)
    if search.strip():
        query = query.where(Job.title.icontains(search.strip(), autoescape=True))
    with session() as opened:
        return [row_of(each) for each in opened.scalars(query)]


def active() -> list[JobRow]:
    """What runs and what waits, running first, then in the order the worker will take it."""
    query = select(Job).where(Job.state.in_(OPEN_STATES))
    with session() as opened:
        rows = [row_of(each) for each in opened.scalars(query.order_by(*ORDER))]
    return sorted(rows, key=lambda row: row.state != "running")


def running(limit: int) -> list[JobRow]:
    """The jobs that run, those that have for longest first."""
    query = select(Job).where(Job.state == "running").order_by(Job.started, Job.id).limit(limit)
    with session() as opened:
        return [row_of(each) for each in opened.scalars(query)]


def needed_by(job_ids: Sequence[int]) -> dict[int, list[JobRow]]:
    """What each of these jobs waits for: the jobs it needs that are not done."""
    query = (
        select(Dependency.job_id, Job)
        .join(Job, Dependency.needs_id == Job.id)
        .where(Dependency.job_id.in_(list(job_ids)), Job.state != "done")
        .order_by(Job.id)
    )
    found: dict[int, list[JobRow]] = {}
    with session() as opened:
        for waiting, needed in opened.execute(query):
            found.setdefault(waiting, []).append(row_of(needed))
    return found


def queue_paused() -> bool:
    """Whether somebody has paused the whole queue: nothing new starts."""
    with session() as opened:
        return opened.get(Setting, QUEUE_PAUSED) is not None


def ended_since(moment: float) -> list[JobRow]:
    """Jobs that ended after a moment, oldest first: what to announce to somebody elsewhere."""
    # not by the states as well: SQLite would read every job that has ended
    query = select(Job).where(Job.ended > moment).order_by(Job.ended)
    with session() as opened:
        return [row_of(each) for each in opened.scalars(query) if each.state in CLOSED_STATES]


def counts() -> QueueCounts:
    """How many jobs are in each state."""
    query = select(Job.state, func.count()).group_by(Job.state)
    with session() as opened:
        return QueueCounts(**{state: number for state, number in opened.execute(query)})


def log_path(job_id: int) -> Path:
    """File that the job's output goes to; it may not exist yet."""
    return settings.log_path(job_id)


def log_tail(job_id: int, max_bytes: int = 8_000) -> str:
    """The last lines of a job's log; empty before the job has written any."""
    try:
        with log_path(job_id).open("rb") as file:
            size_bytes = file.seek(0, 2)
            file.seek(max(0, size_bytes - max_bytes))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    if size_bytes <= max_bytes:
        return text
    return text.partition("\n")[2]  # the first line is cut somewhere in its middle


def row_of(found: Job) -> JobRow:
    """A table's row as plain data."""
    return JobRow(**{name: getattr(found, name) for name in JobRow.__slots__})
