"""Jobs: what runs, what waits and in which order, what ended; order, pause, cancel, search."""

from __future__ import annotations

import zlib

import streamlit as st

from db.queries import job_history
from db.queries import jobs as job_rows
from db.queries.job_history import Sought
from db.queries.jobs import JobRow
from jobs.running import supervise
from pages.components import example, job_actions, job_filters, job_view, links, problems, words

PAGE = 20
LIVE_SECONDS = 1.5
IDLE_SECONDS = 5.0


def main() -> None:
    """The page."""
    st.title("Jobs", anchor=False)
    counts = job_rows.counts()
    total = sum(getattr(counts, s) for s in ("queued", "running", "done", "failed", "cancelled"))
    if not total:
        st.markdown("Nothing has been asked for yet. Merges and benchmarks appear here.")
        example.button("jobs_example")
        return
    sought = job_filters.chosen()
    live = bool(counts.queued or counts.running)
    st.fragment(_list, run_every=LIVE_SECONDS if live else IDLE_SECONDS)(sought)


def _list(sought: Sought) -> None:
    """Everything that changes while jobs run."""
    _queue()
    numbers = job_history.find(sought)
    if not numbers:
        st.caption("No job matches.")
        return
    pages = -(-len(numbers) // PAGE)
    above = st.container()
    key = f"job_page_{zlib.crc32(repr(sought).encode())}"  # another search begins at its first
    page = min(int(st.session_state.get(key) or 1), pages)
    with st.container(gap="small"):
        rows = job_history.rows(numbers[(page - 1) * PAGE : page * PAGE])
        needs = job_rows.needed_by([row.id for row in rows if row.state == "queued"])
        for row in rows:
            _row(row, needs.get(row.id, []))
    with above:
        first = (page - 1) * PAGE
        st.caption(f"{first + 1:,} to {first + len(rows):,} of {words.plural(len(numbers), 'job')}")
    if pages > 1:
        st.pagination(pages, key=key)


def _queue() -> None:
    """What the queue does as a whole."""
    counts, worker = job_rows.counts(), supervise.worker_status()
    paused = job_rows.queue_paused()
    with st.container(horizontal=True, vertical_alignment="center"):
        slots = f" on {', '.join(worker.devices)}" if worker.devices else ""
        said = f"{counts.running} running{slots} · {counts.queued} waiting"
        st.markdown(f"**{said}**" + (" · :orange-badge[paused]" if paused else ""), width="content")
        job_actions.whole_queue(paused=paused)


def _row(row: JobRow, needs: list[JobRow]) -> None:
    with st.container(border=True, gap="small"):
        with job_view.row_of_parts():
            st.markdown(
                f"{job_view.badge(row)} **{problems.as_text(row.title)}**"
                f" :gray[· {job_view.line(row, needs)}]",
                width="content",
            )
            with st.container(horizontal=True, width="content", vertical_alignment="center"):
                job_actions.actions(row, "list")
                links.link("job", "Open", icon=":material/arrow_forward:", job=row.id)
        if row.error:
            st.markdown(f":red[{problems.as_text(row.error)}]")
        if row.state == "running":
            job_view.progress(row)


main()
