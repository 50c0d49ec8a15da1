"""The queue on every page: what runs, what waits, whether a worker lives, and what just ended."""

from __future__ import annotations

import shutil
from pathlib import Path

import streamlit as st

from db import settings
from db.queries import jobs as job_rows
from db.queries.jobs import JobRow, QueueCounts
from jobs.running import api, supervise
from pages.components import device_meter, links, presses, problems, queue_news, words

POLL_SECONDS = 1.5
IDLE_SECONDS = 4.0  # somebody may start something in another tab, or in a terminal
MOST_SHOWN = 2
FULL_BYTES = 5_000_000  # less than the database needs for a benchmark's answers


def draw() -> None:
    """Draw the queue and the machine at the foot of the menu; both refresh themselves."""
    is_open = _is_open(job_rows.counts())
    # a run of the whole page is under way: it must not be cut off for the sake of another
    st.session_state.queue_open = False
    with st.sidebar:
        st.fragment(_queue, run_every=POLL_SECONDS if is_open else IDLE_SECONDS)()
        device_meter.draw()
    st.session_state.queue_open = is_open


def _is_open(counts: QueueCounts) -> bool:
    return bool(counts.queued or counts.running)


def _queue() -> None:
    counts = job_rows.counts()
    queue_news.announce()
    was_open = st.session_state.get("queue_open", False)
    with st.container(key="queue_status", gap="small"):
        st.caption("Queue")
        worker = supervise.worker_status()
        if _is_open(counts):
            _open_jobs(counts)
        else:
            ready = f" Ready on {', '.join(worker.devices)}." if worker.devices else ""
            st.caption(f":material/check_circle: Nothing is running.{ready}")
        if job_rows.queue_paused():
            _paused()
        if not worker.alive and not counts.running:
            _no_worker()
        elif worker.trouble:
            st.warning(
                f"{problems.as_text(worker.trouble)} Jobs wait and go on by themselves.",
                icon=":material/hourglass_top:",
            )
        _full_disk()
        _lost_database()
    if was_open and not _is_open(counts):
        st.rerun()  # the last job ended: let the page show its result, and stop polling


def _open_jobs(counts: QueueCounts) -> None:
    for row in job_rows.running(MOST_SHOWN):
        stage = problems.as_text(row.stage or "Starting")
        st.progress(row.fraction or 0.0, text=f"**{stage}** · {_remaining(row)}")
        links.link("job", row.title, icon=":material/arrow_forward:", job=row.id)
    more, waiting = counts.running - MOST_SHOWN, counts.queued
    if more > 0:
        links.link("jobs", f"{more} more running", icon=":material/autorenew:", state="Open")
    if waiting:
        label = f"{words.plural(waiting, 'job')} waiting"
        links.link("jobs", label, icon=":material/hourglass:", state="Open")


def _paused() -> None:
    st.warning("The queue is paused: nothing new starts.", icon=":material/pause_circle:")
    if presses.button("Resume", key="queue_resume", icon=":material/play_arrow:"):
        api.resume_queue()
        st.rerun()


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
