"""Before a run: which part of the items to ask, and what so many items can tell."""

from __future__ import annotations

import streamlit as st

from evaluation.errors import SuiteError
from jobs.scores import detectable, parts
from jobs.scores.parts import Part
from pages.components.problems import as_text

PARTS = {
    "all": "All items",
    "search": "Search part (for choosing)",
    "held-out": "Held-out part (for reporting)",
}


def pick_part(key: str, width: int = 260) -> Part | None:
    """Which part of the items to score on; None for all of them."""
    chosen = st.selectbox(
        "Which items",
        list(PARTS),
        key=key,
        persist_state="session",
        format_func=lambda name: PARTS[name],
        width=width,
        help="Whoever picks the best of many merges on some items finds its score there too high. "
        "Choose on the search part, then score the chosen one on the held-out part: half of every "
        "task each, the same halves for every model, items about one source document together. "
        "Scores of different parts are never compared.",
    )
    return parts.named(chosen if chosen in PARTS else "all")


def caption(suite: str, limit: int | None, part: Part | None = None) -> None:
    """The smallest difference that the run will tell from noise."""
    try:
        told = _told(suite, limit, part)
    except SuiteError as error:
        st.caption(as_text(str(error)))
        return
    st.caption(f":material/straighten: {as_text(told.sentence)}", help=detectable.EXPLAINED)
    if told.warning:
        st.caption(as_text(told.warning))


@st.cache_data(ttl=60, max_entries=64, show_spinner=False)
def _told(suite: str, limit: int | None, part: Part | None) -> detectable.Told:
    return detectable.before(suite, limit, part)
