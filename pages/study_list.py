"""Studies: how far each is, and designs to start from."""

from __future__ import annotations

import streamlit as st

from db.queries import jobs as job_rows
from db.queries import studies as study_rows
from db.queries.studies import StudyRow
from pages.components import links, presses, problems, words
from pages.components.studies import progress, shipped


def main() -> None:
    """The page."""
    st.title("Studies", anchor=False)
    st.markdown(
        "One design, many merges: each expert with its base, pairs, triples, and an instruct model "
        "on top. Every merge is scored in memory; the findings say what holds for *your* models."
    )
    if presses.button("New study", key="studies_new", type="primary", icon=":material/add:"):
        links.go("study_design")
    rows = study_rows.studies()
    if rows:
        live = any(_is_open(row) for row in rows)
        st.fragment(_rows, run_every=2.0 if live else None)()
    st.subheader("Start from a shipped design", anchor=False)
    _shipped({row.name: row for row in rows})


def _is_open(row: StudyRow) -> bool:
    return bool(row.group) and any(job.open for job in job_rows.group(str(row.group)))


def _rows() -> None:
    rows = study_rows.studies()
    for row in rows:
        with st.container(border=True, gap="small"):
            progress.line(row)
    if st.session_state.get("studies_were_open") and not any(map(_is_open, rows)):
        st.session_state.studies_were_open = False
        st.rerun()  # stop polling
    st.session_state.studies_were_open = any(map(_is_open, rows))


def _shipped(there: dict[str, StudyRow]) -> None:
    designs = shipped.designs()
    for column, one in zip(st.columns(len(designs)), designs, strict=True):
        with column.container(border=True, height="stretch", gap="small"):
            st.markdown(f"**{problems.as_text(one.title)}**")
            st.caption(problems.as_text(one.story))
            links.link(
                "study_design", "Open this design", icon=":material/edit_note:", design=one.key
            )
            if one.key in there:
                st.caption(f"Started {words.ago(there[one.key].created)}, listed above.")


main()
