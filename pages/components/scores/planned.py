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
        "task each unless you say otherwise, the same parts for every model, items about one "
        "source document together. Scores of different parts are never compared.",
    )
    if chosen not in PARTS or chosen == "all":
        return None
    seed, share = _split(key)
    return parts.named(chosen, seed, share)


def _split(key: str) -> tuple[int, float]:
    """Seed of the split and the search part's share, in a line of their own."""
    # Not in a popover: on a model's page this is in one already.
    with st.container(horizontal=True):
        seed = st.number_input(
            "Seed of the split", 0, 2**31 - 1, 1, 1, key=f"{key}_seed", persist_state="session",
            width=150,
            help="Another seed draws other items. Search and held-out scores belong together only "
            "where seed and share are the same; both stand with every score.",
        )  # fmt: skip
        percent = st.number_input(
            "For searching, %", 5, 95, 50, 5, key=f"{key}_share", persist_state="session",
            width=150,
            help="Share of the items in the search part; the rest is held out. Many merges to "
            "choose from want more for searching, a small difference to report less.",
        )  # fmt: skip
    return int(seed), percent / 100


def caption(suite: str, limit: int | None, part: Part | None = None) -> None:
    """The smallest difference that the run will tell from noise."""
    try:
        told = _told(suite, limit, part)
    except SuiteError as error:
        st.caption(as_text(str(error)))
        return
    if part is not None:
        st.caption(f":material/call_split: The {part.name} part of the split with seed {part.seed} "
                   f"and {100 * part.share:g} % for searching.")  # fmt: skip
    st.caption(f":material/straighten: {as_text(told.sentence)}", help=detectable.EXPLAINED)
    if told.warning:
        st.caption(as_text(told.warning))


@st.cache_data(ttl=60, max_entries=64, show_spinner=False)
def _told(suite: str, limit: int | None, part: Part | None) -> detectable.Told:
    return detectable.before(suite, limit, part)
