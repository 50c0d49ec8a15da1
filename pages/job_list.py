"""Jobs: what runs, what waits, what ended; cancel and retry."""

from __future__ import annotations

import streamlit as st

from db.queries import jobs as job_rows
from db.queries.jobs import JobRow
from pages.components import example, job_view, links, problems

SHOWN = 60
FILTERS = {
    "Everything": (),
    "Open": ("queued", "running"),
    "Done": ("done",),
    "Failed": ("failed",),
    "Cancelled": ("cancelled",),
}


def main() -> None:
    """The page."""
    st.title("Jobs", anchor=False)
    counts = job_rows.counts()
    total = sum(getattr(counts, s) for s in ("queued", "running", "done", "failed", "cancelled"))
    if not total:
        st.markdown("Nothing has been asked for yet. Merges and benchmarks appear here.")
        example.button("jobs_example")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        shown = st.segmented_control(
            "State", list(FILTERS), default="Everything", key="state", bind="query-params"
        )
        search = st.text_input(
            "Title contains", key="job_search", placeholder="e.g. finance", width=260
        )
    live = bool(counts.queued or counts.running)
    st.fragment(_rows, run_every=1.5 if live else None)(
        FILTERS.get(shown or "Everything", ()), search or ""
    )


def _rows(states: tuple[str, ...], search: str) -> None:
    rows = job_rows.recent(SHOWN, states=states, search=search)
    if not rows:
        st.caption("No job matches.")
        return
    order = {"running": 0, "queued": 1}
    for row in sorted(rows, key=lambda row: (order.get(row.state, 2), -row.id)):
        _row(row)
    if len(rows) == SHOWN:
        st.caption(f"The newest {SHOWN} are shown; narrow the list down with the title.")


def _row(row: JobRow) -> None:
    with st.container(border=True, gap="small"):
        with job_view.row_of_parts():
            st.markdown(
                f"{job_view.badge(row)} **{problems.as_text(row.title)}**"
                f" :gray[· {job_view.line(row)}]",
                width="content",
            )
            with st.container(horizontal=True, width="content", vertical_alignment="center"):
                job_view.actions(row, "list")
                links.link("job", "Open", icon=":material/arrow_forward:", job=row.id)
        if row.error:
            st.markdown(f":red[{problems.as_text(row.error)}]")
        if row.state == "running":
            job_view.progress(row)


main()
