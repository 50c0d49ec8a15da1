"""A model's own code: what it is, whether it may run, and the question."""

from __future__ import annotations

import streamlit as st

from db.queries.models import ModelRow
from jobs.models import consent
from pages.components import presses, problems
from pages.components.problems import as_text


def section(row: ModelRow) -> None:
    """Nothing for a model without code of its own."""
    code = consent.code_of(row.source, row.revision)
    if code is None:
        return
    allowed = consent.is_granted(code)
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            badge = ":green-badge[may run]" if allowed else ":gray-badge[does not run]"
            st.markdown(f"**Code of its own** {badge}", width="content")
            if allowed and presses.button("Take it back", key="code_forget"):
                consent.forget(row.name)
                st.rerun()
        st.caption(
            as_text(f"The model asks for {', '.join(code.asked[:4])}. ")
            + "Code can do whatever you can: read your files, call the network. Merging never "
            "runs it; scoring and chat do when you agree."
        )
        for name, text in code.files.items():
            with st.expander(as_text(name)):
                st.code(text, language="python")
        if code.problem:
            st.caption(f"It is not run: {as_text(code.problem)}.")
            if not code.files and not row.source.startswith("/"):
                _fetch(row)
        elif not allowed:
            _question(row, code.fingerprint)


def _question(row: ModelRow, fingerprint: str) -> None:
    if consent.was_granted(row.name):
        st.warning("The code has changed since you agreed to it.", icon=":material/warning:")
    sure = st.checkbox("I have read this code and trust it", key=f"code_{fingerprint[:12]}")
    if presses.button("Let it run", key="code_grant", disabled=not sure):
        with problems.told():
            consent.grant(row.name, fingerprint)
            st.rerun()


def _fetch(row: ModelRow) -> None:
    if presses.button("Fetch the code from the Hub to read it", key="code_fetch"):
        with problems.told():
            consent.fetch(row.name)
            st.rerun()
