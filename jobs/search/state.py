"""A search as it stands: its row, its trials, how far it is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from db import settings
from db.queries import jobs as job_rows
from db.queries import searches as search_rows
from db.queries.searches import SearchRow
from search.design import SearchDesign
from search.errors import SearchError

if TYPE_CHECKING:
    from search.results import SearchResults
    from search.trials import Trials


def get(search_id: int | str) -> SearchRow:
    """A search's row.

    Raises:
        SearchError: there is none.
    """
    row = search_rows.search(search_id)
    if row is None:
        said = f"number {search_id}" if isinstance(search_id, int) else f"“{search_id}”"
        raise SearchError(f"There is no search {said}.")
    return row


def design_of(row: SearchRow) -> SearchDesign:
    """A search's design, its models tied to the content they had when it was planned."""
    return SearchDesign.from_mapping(row.design)


@contextmanager
def trials(row: SearchRow, lane: int = 0) -> Iterator[Trials]:
    """The search's trials in Optuna's tables of our database."""
    from search import storage
    from search.trials import Trials

    with storage.opened(settings.database_url()) as opened:
        yield Trials(opened, row.storage, design_of(row), lane)


def load(search_id: int) -> SearchResults:
    """Every trial so far, as plain data.

    Raises:
        SearchError: there is no such search.
    """
    from search.results import read

    row = get(search_id)
    with trials(row) as found:
        return read(found)


def progress(search_id: int) -> dict[str, Any]:
    """How far a search is.

    Returns:
        `state` ("running", "waiting", "done", "stopped" or "failed"), `group`, `trials`: {`total`,
        `done`, `pruned`, `failed`}, `rate` (trials a second, None while unknown), `seconds_left`,
        `doing` (what runs now, a line each), `errors`: sentences of jobs that failed.
    """
    row = get(search_id)
    results = _loaded(search_id, version(search_id))
    jobs = job_rows.group(row.group) if row.group else []
    open_jobs = [job for job in jobs if job.open]
    counts = results.counts()
    total = max(results.target, counts["done"])
    left = total - counts["done"]
    rate = _rate(results, jobs) if open_jobs else None
    return {
        "state": _state(jobs, left, row.chosen is not None),
        "group": row.group,
        "trials": {"total": total, **counts},
        "rate": rate,
        "seconds_left": left / rate if rate else None,
        "doing": [job.stage for job in open_jobs if job.state == "running"],
        "errors": list(dict.fromkeys(job.error for job in jobs if job.state == "failed"
                                     and job.error and job.attempt)),
    }  # fmt: skip


@lru_cache(maxsize=64)
def _loaded(search_id: int, _version: str) -> SearchResults:
    return load(search_id)


def version(search_id: int) -> str:
    """Changes whenever `load` or the table would give something else."""
    row = get(search_id)
    jobs = job_rows.group(row.group) if row.group else []
    ended = sorted(job.id for job in jobs if not job.open)
    running = [int(time.time() // 3)] if any(job.open for job in jobs) else []
    return repr((settings.database_url(), row.id, row.created, row.design_hash, ended, running))


def _state(jobs: list[job_rows.JobRow], left: int, chosen: bool) -> str:
    if any(job.state == "running" for job in jobs):
        return "running"
    if any(job.open for job in jobs):
        return "waiting"
    if left <= 0 and chosen and not any(job.state != "done" for job in jobs):
        return "done"
    return "failed" if any(job.state == "failed" for job in jobs) else "stopped"


def _rate(results: SearchResults, jobs: list[job_rows.JobRow]) -> float | None:
    """Trials a second since the first lane began."""
    begun = [job.started for job in jobs if job.kind == "search" and job.started is not None]
    ended = [one.ended for one in results.trials if one.ended]
    if not begun:
        return None
    since = [moment for moment in ended if moment >= min(begun)]
    return len(since) / max(time.time() - min(begun), 1e-6) if since else None
