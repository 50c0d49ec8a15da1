"""Searches: how far each is, and designs to start from."""

from __future__ import annotations

import streamlit as st

from db.queries import jobs as job_rows
from db.queries import searches as search_rows
from db.queries.searches import SearchRow
from pages.components import links, presses, problems, words
from pages.components.search import progress, shipped


def main() -> None:
    """The page."""
    st.title("Search", anchor=False)
    st.markdown(
        "Let a sampler look for the best recipe: weights, scale, density, the method itself. Known "
        "good points are tried first, trials are scored on one part of the items, and the winner "
        "stands beside the best known point and the best parent on the *other* part."
    )
    if presses.button("New search", key="searches_new", type="primary", icon=":material/add:"):
        links.go("search_design")
    rows = search_rows.searches()
    if rows:
        live = any(_is_open(row) for row in rows)
        st.fragment(_rows, run_every=3.0 if live else None)()
    st.subheader("Start from a shipped search", anchor=False)
    _shipped({row.name: row for row in rows})


def _is_open(row: SearchRow) -> bool:
    return bool(row.group) and any(job.open for job in job_rows.group(str(row.group)))


def _rows() -> None:
    rows = search_rows.searches()
    for row in rows:
        with st.container(border=True, gap="small"), problems.told():
            progress.line(row)
    if st.session_state.get("searches_were_open") and not any(map(_is_open, rows)):
        st.session_state.searches_were_open = False
        st.rerun()  # stop polling
    st.session_state.searches_were_open = any(map(_is_open, rows))


def _shipped(there: dict[str, SearchRow]) -> None:
    designs = shipped.designs()
    for column, one in zip(st.columns(len(designs)), designs, strict=True):
        with column.container(border=True, height="stretch", gap="small"):
            st.markdown(f"**{problems.as_text(one.title)}**")
            st.caption(problems.as_text(one.story))
            links.link(
                "search_design", "Open this design", icon=":material/edit_note:", design=one.key
            )
            if one.key in there:
                st.caption(f"Started {words.ago(there[one.key].created)}, listed above.")


main()
