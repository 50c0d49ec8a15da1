"""The queue on every page: what runs, what waits, whether a worker lives, and what just ended."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import streamlit as st

from db import settings
from db.queries import jobs as job_rows
from db.queries.jobs import JobRow
from jobs.running import supervise
from pages.components import links, presses, problems, words

POLL_SECONDS = 1.5
FULL_BYTES = 5_000_000  # less than the database needs for a benchmark's answers


def draw() -> None:
    """Draw the queue at the foot of the menu; it refreshes itself only while something is open."""
    rows = job_rows.active()
    # a run of the whole page is under way: it must not be cut off for the sake of another
    st.session_state.queue_open = False
    with st.sidebar:
        st.fragment(_queue, run_every=POLL_SECONDS if rows else None)()
    st.session_state.queue_open = bool(rows)


def _queue() -> None:
    rows = job_rows.active()
    _announce()
    was_open = st.session_state.get("queue_open", False)
    with st.container(key="queue_status", gap="small"):
        st.caption("Queue")
        worker = supervise.worker_status()
        if rows:
            _open_jobs(rows)
        else:
            ready = f" Ready on {', '.join(worker.devices)}." if worker.devices else ""
            st.caption(f":material/check_circle: Nothing is running.{ready}")
        if not worker.alive:
            _no_worker()
        _full_disk()
        _lost_database()
    if was_open and not rows:
        st.rerun()  # the last job ended: let the page show its result, and stop polling


def _open_jobs(rows: list[JobRow]) -> None:
    running = [row for row in rows if row.state == "running"]
    for row in running[:2]:
        stage = problems.as_text(row.stage or "Starting")
        st.progress(row.fraction or 0.0, text=f"**{stage}** · {_remaining(row)}")
        links.link("job", row.title, icon=":material/arrow_forward:", job=row.id)
    waiting = len(rows) - len(running[:2])
    if waiting:
        links.link("jobs", f"{words.plural(waiting, 'job')} waiting", icon=":material/hourglass:")


def _remaining(row: JobRow) -> str:
    if row.eta_seconds is None:
        return f"{words.duration(row.seconds)} so far"
    return f"{words.duration(row.eta_seconds)} left"


def _no_worker() -> None:
    st.warning("No worker is running: jobs wait.", icon=":material/warning:")
    if presses.button("Start a worker", key="start_worker"):
        supervise.start_worker_if_needed()
        st.rerun()


def _full_disk() -> None:
    """A worker that cannot write waits and goes on by itself: without this, nobody knew why."""
    free_bytes = shutil.disk_usage(settings.home()).free
    if free_bytes < FULL_BYTES:
        st.warning(
            f"The disk of CRUCIBLE_HOME is full: {words.size(free_bytes)} are free. Jobs wait; "
            "free some space, and they go on by themselves.",
            icon=":material/hard_drive:",
        )


def _lost_database() -> None:
    """SQLite goes on with a deleted file until it is closed: everything since would be lost."""
    file = settings.database_url().removeprefix("sqlite:///")
    if Path(file).is_absolute() and not Path(file).exists():
        st.error(
            f"The database {problems.as_text(file)} was deleted or moved while Crucible runs. "
            "Nothing new is kept. Put it back or begin a new one: restart Crucible.",
            icon=":material/database_off:",
        )


def _announce() -> None:
    """One toast for every press whose last job has ended since this tab last looked."""
    seen = st.session_state.setdefault("announced_until", time.time())
    ended = job_rows.ended_since(seen)
    if not ended:
        return
    st.session_state.announced_until = max(row.ended or seen for row in ended)
    for group in {row.group or f"job {row.id}": row for row in ended}.values():
        _toast(group)


def _toast(last: JobRow) -> None:
    rows = job_rows.group(last.group) if last.group else [last]
    if any(row.open for row in rows):
        return
    title = problems.as_text(rows[0].title)
    failed = next((row for row in rows if row.state == "failed"), None)
    if failed:
        st.toast(
            f"**{problems.as_text(failed.title)}** failed.",
            icon=":material/error:",
            duration="long",
        )
    elif any(row.state == "cancelled" for row in rows):
        st.toast(f"**{title}** was cancelled.", icon=":material/cancel:")
    else:
        st.toast(f"**{title}** is done.", icon=":material/check:", duration="long")
