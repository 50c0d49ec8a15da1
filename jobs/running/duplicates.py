"""Asking twice for the same: recognised by what is asked for, not by when, where or how often.

A job's *content* is a hash of its kind and of all that decides what it does. While a job is open,
another of the same content is its twin. Work that is done is recognised elsewhere, by its results
(`jobs.models.recipes.made_before`, `jobs.scores.scored`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.queries.jobs import OPEN_STATES
from db.tables import Job
from jobs.running import queue

# of a spec, by kind: what does not decide the work, such as the name its result gets
BESIDE = {
    "merge": ("name",),
    "extract": ("name", "out"),
    "evaluate": ("refs", "merge_job", "narrow"),
}


def content(kind: str, spec: Mapping[str, Any]) -> str:
    """Hash of what a job of this spec does, 64 hex digits."""
    decisive = {key: value for key, value in spec.items() if key not in BESIDE.get(kind, ())}
    text = json.dumps([kind, decisive], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def marked(job: Job, about: str | None = None) -> Job:
    """The same new job, with its content noted.

    Args:
        job: kind and spec are set.
        about: what stands for the spec, where that has several forms for one meaning.
    """
    job.content = content(job.kind, job.spec if about is None else {"about": about})
    return job


def twin(opened: Session, job: Job) -> Job | None:
    """The oldest open job that does what a marked job would do; None without one."""
    return None if job.state == "done" else open_twin_of(opened, job)


def open_twin_of(opened: Session, job: Job) -> Job | None:
    """The oldest other job that is open and of the same content; None without one."""
    query = select(Job).where(
        Job.content == job.content, Job.state.in_(OPEN_STATES), Job.cancel_requested.is_(False)
    )
    if job.content is None:
        return None
    if job.id is not None:
        query = query.where(Job.id != job.id)
    return opened.scalars(query.order_by(Job.id).limit(1)).first()


def add_once(opened: Session, job: Job, needs: Sequence[int] = ()) -> Job:
    """Insert a job and return it; or return its open twin, and insert nothing."""
    marked(job)
    found = twin(opened, job)
    if found is not None:
        return found
    queue.add(opened, job, needs)
    return job


def add_behind(opened: Session, job: Job, needs: Sequence[int] = ()) -> int:
    """Insert a job; where it has an open twin, it waits for that one and then finds all done."""
    found = twin(opened, job)
    return queue.add(opened, job, (*needs, found.id) if found is not None else needs)


def common_group(opened: Session, jobs: Sequence[Job]) -> str | None:
    """The group in which each of these new jobs has its open twin; None unless there is one."""
    twins = [twin(opened, job) for job in jobs]
    groups = {found.group if found is not None else None for found in twins}
    return groups.pop() if len(groups) == 1 else None
