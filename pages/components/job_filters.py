"""Which jobs the list shows: state, text, kind, model, days."""

from __future__ import annotations

from datetime import date

import streamlit as st

from db.queries import job_history
from db.queries import models as model_rows
from db.queries.job_history import Sought
from pages.components import job_view

STATES = {
    "Everything": (),
    "Open": ("queued", "running"),
    "Done": ("done",),
    "Failed": ("failed",),
    "Cancelled": ("cancelled",),
}


def chosen() -> Sought:
    """The widgets, and what they ask for."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        state = st.segmented_control(
            "State", list(STATES), default="Everything", key="state", bind="query-params"
        )
        text = st.text_input(
            "Search", key="job_search", placeholder="finance, disk full, #12", width=260
        )
        with st.popover("More", icon=":material/filter_list:"):
            kinds, model, first, last = _more()
    sought = Sought(text or "", STATES.get(state or "Everything", ()), kinds, model)
    return sought.between(first, last)


def _more() -> tuple[list[str], str | None, date | None, date | None]:
    kinds = st.multiselect(
        "Kind", job_history.kinds(), key="job_kinds",
        format_func=lambda kind: job_view.KINDS.get(kind, kind),
    )  # fmt: skip
    names = [row.name for row in model_rows.models(archived=True)]
    model = st.selectbox(
        "Model", names, index=None, key="job_model", placeholder="Read, scored or made"
    )
    first = st.date_input("Asked for from", value=None, key="job_first")
    last = st.date_input("until", value=None, key="job_last")
    return kinds, model, first, last
