"""Which suite a page is about, and what its file says a complete row must have."""

from __future__ import annotations

from contextlib import suppress

import streamlit as st

from db.queries import leaderboard
from db.queries.board import Board
from evaluation.errors import SuiteError
from evaluation.suites import list_suites, load_suite


def pick() -> Board | None:
    """The suite's selector and its board; None when nothing was ever scored."""
    names = leaderboard.suites_with_scores()
    if not names:
        return None
    titles = shipped_titles()
    # Not `bind`: Streamlit refuses to leave for another page with a parameter that is bound here.
    asked = st.query_params.get("suite")
    if asked in names and asked != st.session_state.get("suite_asked"):
        st.session_state.suite = asked
    if st.session_state.get("suite") not in names:
        st.session_state.suite = names[0]
    suite = st.selectbox(
        "Suite", names, key="suite", width=220, persist_state="session",
        format_func=lambda name: titles.get(name, name),
    )  # fmt: skip
    st.session_state.suite_asked = suite
    if asked != suite and (len(names) > 1 or asked):
        st.query_params["suite"] = suite
    return board(suite)


def board(suite: str) -> Board:
    """The board of a suite, complete rows being those that have every task of its file."""
    tasks = shipped_tasks().get(suite)
    found = leaderboard.board(suite, tasks)
    # A file that was rewritten since must not hide every score there is.
    return found if found.rows or tasks is None else leaderboard.board(suite)


@st.cache_data(ttl=60, max_entries=1, show_spinner=False)
def shipped_tasks() -> dict[str, dict[str, str]]:
    """Suite -> task -> domain, in the order of the suite's file; without those that are broken."""
    found: dict[str, dict[str, str]] = {}
    for name in {suite.name for suite in list_suites()} | {*leaderboard.suites_with_scores()}:
        # Groups of lm-eval's are their members; a name may be that of a run with its settings.
        with suppress(SuiteError):
            suite = load_suite(name)
            found[name] = {task: suite.domain(task) for task in suite.tasks}
    return found


@st.cache_data(ttl=60, max_entries=1, show_spinner=False)
def shipped_titles() -> dict[str, str]:
    """Suite -> its title."""
    try:
        return {s.name: s.title for s in list_suites()}
    except SuiteError:
        return {}
