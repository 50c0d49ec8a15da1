"""Judge: open answers read by a judge, kept apart from benchmark scores."""

from __future__ import annotations

import streamlit as st

from db.queries import judging as rows
from pages.components.judge import form as judge_form
from pages.components.judge import results as judge_results


def page() -> None:
    """The whole page, top to bottom."""
    st.title("Judge", anchor=False)
    st.caption(
        "A judge is a language model that reads open answers: it grades them, or compares two "
        "models in both orders. Its name stands beside every score, and no score of a judge enters "
        "the leaderboard's means."
    )
    found = rows.judgings()
    with st.expander("Ask a judge", icon=":material/gavel:", expanded=not found):
        judge_form.draw()
    if found:
        judge_results.draw(found)
    else:
        st.info(
            "Nothing has been judged yet. The small open set and a model on this machine as judge "
            "need no network.",
            icon=":material/gavel:",
        )


page()
