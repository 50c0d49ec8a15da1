"""The report of a study: one file that works offline, or a zip with every table."""

from __future__ import annotations

import tempfile
from pathlib import Path

import streamlit as st

from db.queries.studies import StudyRow

KINDS = {
    ".html": ("Report", "text/html", ":material/description:"),
    ".zip": ("Everything as a zip", "application/zip", ":material/folder_zip:"),
}


def draw(row: StudyRow) -> None:
    """Say what is in it, and give it."""
    st.markdown(
        "One HTML file that opens anywhere, without a network: design, findings, pictures to hover "
        "and zoom, every table, the models' fingerprints and licences, and how to run it again. "
        "The zip has it with a CSV for each picture and the design as YAML."
    )
    with st.container(horizontal=True, gap="small"):
        for suffix, (label, mime, icon) in KINDS.items():
            st.download_button(
                label, lambda suffix=suffix: _made(row.id, suffix),
                f"{row.name}{suffix}".replace("/", "-"), mime, icon=icon,
                key=f"study_report_{suffix[1:]}", on_click="ignore",
                type="primary" if suffix == ".html" else "secondary",
            )  # fmt: skip
    if row.done < row.n_points:
        st.caption(f"Of the {row.done:,} merges that are scored by now.")
    st.caption("Writing it takes a few seconds.")


def _made(study_id: int, suffix: str) -> bytes:
    """The file's content, written when somebody asks for it."""
    from jobs.studies import report

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"report{suffix}"
        report.write(study_id, path)
        return path.read_bytes()
