"""The queue's rules, as database statements.

A job is *claimed* by one UPDATE that raises its attempt number. Whoever claimed it holds a lease,
renewed by heartbeats; every later write names the attempt, so that a worker that was thought dead
cannot write once somebody else has taken over. States: queued, running, done, failed, cancelled;
a queued job that is *paused* waits until somebody lets it go on.

Any number of workers may claim: a claim is one statement that a database carries out for one of
them at a time, and it takes only what is still waiting.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import CursorResult, Select, exists, literal, select, update
from sqlalchemy.orm import Session, aliased

from db.engine import session, transaction
from db.queries.jobs import ORDER, QUEUE_PAUSED
from db.tables import Dependency, Job, Setting

LEASE_SECONDS = 10.0
HEARTBEAT_SECONDS = 2.0


class Fenced(Exception):
    """The job is no longer ours: another worker has it, or it was ended by somebody else."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that this process runs."""

    job_id: int
    attempt: int
    kind: str
    title: str
    spec: dict[str, Any]


def claim(
    worker: str,
    device: str,
    *,
    group: str | None = None,
    narrow: bool = False,
    look: bool = True,
) -> Claim | None:
    """Take the next job that may start, or None. Each job goes to exactly one caller.

    Args:
        worker: who takes it.
        device: where it will run.
        group: take only this group's jobs and what they need, though the queue be paused.
        narrow: take only jobs that need a single core.
        look: look first whether there is one, which does not take the write lock.
    """
    eligible = _eligible(group, narrow)
    if look:
        with session() as opened:
            if opened.scalar(eligible) is None:
                return None
    now = time.time()
    taken = (
        update(Job)
        .where(Job.id == eligible.with_for_update(skip_locked=True).scalar_subquery())
        .where(Job.state == "queued")
        .values(
            state="running",
            attempt=Job.attempt + 1,
            worker=worker,
            device=device,
            lease_until=now + LEASE_SECONDS,
            started=now,
            ended=None,
            error=None,
            rate=None,
            stage="Starting",
        )
        .returning(Job.id, Job.attempt, Job.kind, Job.title, Job.spec)
    )
    with transaction() as opened:
        row = opened.execute(taken).first()
    return Claim(*row) if row else None


@lru_cache(maxsize=64)  # making the statement costs more than carrying it out
def _eligible(group: str | None, narrow: bool) -> Select[int]:
    needed = aliased(Job)
    unmet = exists().where(
        Dependency.job_id == Job.id, Dependency.needs_id == needed.id, needed.state != "done"
    )
    query = select(Job.id).where(
        Job.state == "queued", Job.paused.is_(False), Job.cancel_requested.is_(False), ~unmet
    )
    if group is not None:
        query = query.where(Job.id.in_(_with_needed(group)))
    else:
        query = query.where(~exists().where(Setting.key == literal(QUEUE_PAUSED)))
    if narrow:
        query = query.where(Job.spec["narrow"].as_boolean().is_(True))
    return query.order_by(*ORDER).limit(1)


def _with_needed(group: str) -> Select[int]:
    """Numbers of a group's jobs and of all that those need, of whatever group."""
    found = select(Job.id).where(Job.group == group).cte("wanted", recursive=True)
    needed = select(Dependency.needs_id).join(found, Dependency.job_id == found.c.id)
    return select(found.union(needed).c.id)


def add(opened: Session, job: Job, needs: Sequence[int] = ()) -> int:
    """Insert a job that needs others; if one of those has failed already, so has this one."""
    opened.add(job)
    opened.flush()
    for needed in sorted(set(needs)):
        opened.add(Dependency(job_id=job.id, needs_id=needed))
    opened.flush()
    for needed in needs:
        state = opened.scalar(select(Job.state).where(Job.id == needed))
        if state in ("failed", "cancelled"):
            end_dependents(opened, needed, state)
    return job.id


def write(opened: Session, held: Claim, **values: Any) -> None:
    """Change a job that this process runs; the lease is renewed with it.

    Raises:
        Fenced: the job is no longer ours. Nothing was changed.
    """
    statement = (
        update(Job)
        .where(Job.id == held.job_id, Job.attempt == held.attempt, Job.state == "running")
        .values({"lease_until": time.time() + LEASE_SECONDS, **values})
    )
    if cast("CursorResult[Any]", opened.execute(statement)).rowcount != 1:
        raise Fenced(f"job {held.job_id}, attempt {held.attempt}")


def heartbeat(held: Claim) -> None:
    """Renew the lease.

    Raises:
        Fenced: the job is no longer ours.
    """
    with transaction() as opened:
        write(opened, held)


def finish(
    held: Claim,
    state: str,
    *,
    error: str | None = None,
    result: dict[str, Any] | None = None,
    progress: Mapping[str, Any] | None = None,
) -> None:
    """End a job as done, failed or cancelled; what needed it and cannot run ends with it.

    Args:
        held: the job.
        state: done, failed or cancelled.
        error: why, in a sentence.
        result: what came out, beside what is there already.
        progress: columns that were not written yet.

    Raises:
        Fenced: the job is no longer ours.
    """
    with transaction() as opened:
        ended = {"state": state, "error": error, "rate": None, "ended": time.time()}
        write(opened, held, **{**(progress or {}), **ended, "paused": False})
        row = opened.get_one(Job, held.job_id)
        row.lease_until = None
        if result is not None:
            row.result = {**(row.result or {}), **result}
        if state != "done":
            end_dependents(opened, held.job_id, state)


def release(held: Claim) -> None:
    """Put a running job back into the queue with its progress: the worker is leaving.

    Raises:
        Fenced: the job is no longer ours.
    """
    with transaction() as opened:
        write(opened, held)
        _put_back(opened, opened.get_one(Job, held.job_id))


def disown(worker: str) -> None:
    """Put back whatever a worker is still said to run; it has no process left."""
    with transaction() as opened:
        query = select(Job).where(Job.worker == worker, Job.state == "running")
        for row in opened.scalars(query).all():
            _put_back(opened, row)


def _put_back(opened: Session, row: Job) -> None:
    row.lease_until = row.worker = row.rate = None
    if row.cancel_requested:
        row.state, row.ended = "cancelled", time.time()
        opened.flush()
        end_dependents(opened, row.id, "cancelled")
    else:
        row.state = "queued"


def died(held: Claim, reason: str) -> str:
    """A job's process was killed: queue it again, or fail it when that happened too often.

    Returns:
        The state that the job is in now.

    Raises:
        Fenced: the job is no longer ours.
    """
    with transaction() as opened:
        write(opened, held)
        row = opened.get_one(Job, held.job_id)
        bury(opened, row, reason)
        return row.state


def end(opened: Session, row: Job, state: str, error: str) -> None:
    """End a job without a process, and what needs it with it."""
    row.state, row.ended, row.error = state, time.time(), error
    row.lease_until = row.worker = row.rate = None
    opened.flush()
    end_dependents(opened, row.id, state)


def asked_to_stop(job_ids: Sequence[int], *, whole_queue: bool = True) -> dict[int, str]:
    """Which of these running jobs are to stop: "cancel", or "release" for those paused.

    Args:
        job_ids: jobs that this process runs.
        whole_queue: whether pausing the queue stops them too.
    """
    if not job_ids:
        return {}
    with session() as opened:
        query = select(Job.id, Job.cancel_requested, Job.paused).where(Job.id.in_(job_ids))
        rows = opened.execute(query).all()
        pause = opened.get(Setting, QUEUE_PAUSED) if whole_queue else None
        everything = pause is not None and not pause.value.get("finish_running")
    return {
        number: "cancel" if cancelled else "release"
        for number, cancelled, paused in rows
        if cancelled or paused or everything
    }


def end_dependents(opened: Session, job_id: int, state: str) -> None:
    """End every queued job that needs this one, directly or not, and say why."""
    title = opened.scalar(select(Job.title).where(Job.id == job_id))
    needing = select(Job).join(Dependency, Dependency.job_id == Job.id)
    for row in opened.scalars(needing.where(Dependency.needs_id == job_id)).all():
        if row.state != "queued":
            continue
        row.state = state
        row.ended = time.time()
        verb = "failed" if state == "failed" else "was cancelled"
        row.error = f"Not run, because “{title}” (job {job_id}) {verb}."
        opened.flush()
        end_dependents(opened, row.id, state)


def bury(opened: Session, row: Job, reason: str) -> None:
    """Queue a job again whose process has died, or end it: cancelled, or dead too often."""
    row.deaths += 1
    row.lease_until = None
    row.worker = None
    row.rate = None
    if row.cancel_requested:
        row.state, row.ended, row.error = "cancelled", time.time(), None
    elif row.deaths >= row.max_attempts:
        row.state, row.ended = "failed", time.time()
        times = "once" if row.deaths == 1 else f"{row.deaths} times"
        row.error = f"Given up after it was started {times}: {reason}."
    else:
        row.state, row.error = "queued", f"Started again: {reason}."
    opened.flush()
    if row.state in ("failed", "cancelled"):
        end_dependents(opened, row.id, row.state)
