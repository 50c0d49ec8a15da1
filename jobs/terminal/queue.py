"""What `python cli.py jobs` does and prints."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, get_args

from db.queries import job_history
from db.queries import jobs as rows
from db.queries.job_history import Sought
from db.queries.jobs import CLOSED_STATES, OPEN_STATES, JobRow
from jobs import kinds
from jobs.errors import JobError
from jobs.running import api
from jobs.running.order import Where
from jobs.terminal import show

LOG_LINES = 20
STATES = (*OPEN_STATES, *CLOSED_STATES)


def find(
    words: Sequence[str],
    states: Sequence[str],
    of_kinds: Sequence[str],
    model: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
) -> tuple[list[JobRow], int]:
    """The first jobs that fit, and how many there are.

    Raises:
        JobError: a state or a kind that is none.
    """
    _known("state", states, STATES)
    _known("kind", of_kinds, (*kinds.known(), *job_history.kinds()))
    sought = Sought(" ".join(words), states, of_kinds, model)
    sought = sought.between(since.date() if since else None, until.date() if until else None)
    numbers = job_history.find(sought)
    return job_history.rows(numbers[:limit]), len(numbers)


def get(number: int) -> JobRow:
    """A job by its number.

    Raises:
        JobError: there is none.
    """
    row = rows.job(number)
    if row is None:
        raise JobError(f"There is no job {number}.")
    return row


def cancel(number: int) -> None:
    """Ask for a job to be stopped.

    Raises:
        JobError: it neither waits nor runs.
    """
    if not api.cancel(number):
        raise JobError(f"There is no waiting or running job {number}.")
    show.say(f"Job {number} is being cancelled.")


def pause(numbers: Sequence[int], *, whole: bool, finish_running: bool) -> None:
    """Hold jobs back, or the whole queue.

    Raises:
        JobError: neither or both are named, or a job cannot be paused.
    """
    _either(numbers, whole=whole)
    if finish_running and not whole:
        raise JobError("--finish-running goes with --all.")
    if whole:
        api.pause_queue(finish_running=finish_running)
        runs = "what runs comes to its end" if finish_running else "what runs is put back"
        show.say(f"The queue is paused: nothing new starts, and {runs}.")
    for number in numbers:
        api.pause(number)
        show.say(f"Job {number} is paused.")


def resume(numbers: Sequence[int], *, whole: bool) -> None:
    """Let jobs go on, or the whole queue.

    Raises:
        JobError: neither or both are named, or a job has ended.
    """
    _either(numbers, whole=whole)
    if whole:
        api.resume_queue()
        show.say("The queue goes on.")
    for number in numbers:
        api.resume(number)
        show.say(f"Job {number} goes on when it is its turn.")


def prioritise(number: int, value: str) -> None:
    """Set a priority, or change it by `+1` or `-1`.

    Raises:
        JobError: not a number, out of range, or a job that has ended.
    """
    try:
        amount = int(value)
    except ValueError:
        raise JobError(f"{value!r} is not a priority: give a whole number, +1 or -1.") from None
    if value.strip().startswith(("+", "-")):
        amount = api.change_priority(number, amount)
    else:
        api.set_priority(number, amount)
    show.say(f"Job {number} has priority {amount} now.")


def move(number: int, where: str) -> None:
    """Move a waiting job.

    Raises:
        JobError: no such place, or a job that does not wait.
    """
    for known in get_args(Where):
        if where == known:
            api.move(number, known)
            break
    else:
        raise JobError(f"There is no place {where!r}. There are: {', '.join(get_args(Where))}.")
    waiting = [row.id for row in rows.active() if row.state == "queued"]
    at = f"number {waiting.index(number) + 1} of {len(waiting)}" if number in waiting else "running"
    show.say(f"Job {number} is {at} in the queue.")


def as_data(row: JobRow, *, log: bool = False) -> dict[str, Any]:
    """A job as JSON."""
    needs = [one.id for one in rows.needed_by([row.id]).get(row.id, ())]
    data = {**asdict(row), "waits_for": needs}
    return {**data, "log": rows.log_tail(row.id)} if log else data


def print_jobs(found: Sequence[JobRow], total: int) -> None:
    """Number, state and progress of jobs, and whether the queue stands."""
    show.print_jobs(found)
    if total > len(found):
        show.say(f"{len(found)} of {total} jobs; --limit shows more, words and options fewer.")
    if rows.queue_paused():
        show.say("The queue is paused; `python cli.py jobs resume --all` lets it go on.")


def print_job(row: JobRow) -> None:
    """All that there is to say about one job."""
    show.say(f"Job {row.id}: {row.title}")
    state = f"{row.state}, paused" if row.paused else row.state
    show.say(f"{row.kind}, {state}, priority {row.priority}, started {row.attempt} times, "
             f"asked for at {_moment(row.created)}")  # fmt: skip
    if row.started is not None:
        ended = f", ended at {_moment(row.ended)}" if row.ended else ""
        show.say(f"Started at {_moment(row.started)}{ended}, on {row.device or 'no device'}")
    if row.open and row.stage:
        done = f": {row.done:,.0f} of {row.total:,.0f} {row.unit}" if row.total else ""
        show.say(f"{row.stage}{done}")
    for needed in rows.needed_by([row.id]).get(row.id, ()):
        show.say(f"Waits for job {needed.id}: {needed.title} ({needed.state})")
    if row.error:
        show.say(row.error)
    lines = rows.log_tail(row.id).splitlines()[-LOG_LINES:]
    if lines:
        show.say(f"The end of {rows.log_path(row.id)}:")
        for line in lines:
            show.say(f"  {line}")


def _moment(seconds: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _known(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    for one in given:
        if one not in known:
            there = ", ".join(dict.fromkeys(known))
            raise JobError(f"There is no {what} {one!r}. There are: {there}.")


def _either(numbers: Sequence[int], *, whole: bool) -> None:
    if bool(numbers) == whole:
        raise JobError("Name jobs by their numbers, or --all for the whole queue.")
