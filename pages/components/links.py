"""Every page by a short name, and ways to get there with its parameters in the address."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.components.problems import as_text

FOLDER = Path(__file__).resolve().parent.parent

# Files are named so that none hides a package of the project while Streamlit has `pages/` in
# front of the import path: `pages/jobs.py` would be found instead of `jobs/`.
FILES = {
    "home": "home.py",
    "build": "build.py",
    "leaderboard": "leaderboard.py",
    "compare": "compare.py",
    "judge": "judge.py",
    "chat": "talk.py",
    "models": "model_list.py",
    "model": "model_detail.py",
    "jobs": "job_list.py",
    "job": "job_detail.py",
    "suites": "suites.py",
    "studies": "study_list.py",
    "study": "study_detail.py",
    "study_design": "study_design.py",
    "searches": "search_list.py",
    "search": "search_detail.py",
    "search_design": "search_design.py",
}


# where each tab is about to go: the page that it leaves, the one it goes to and its parameters
_leaving: dict[str, tuple[str, str, dict[str, str | int]]] = {}


def path(name: str) -> Path:
    """File of a page."""
    return FOLDER / FILES[name]


def link(name: str, label: str, icon: str | None = None, **parameters: str | int) -> None:
    """A link to a page, its parameters in the address; the label is text, not Markdown."""
    st.page_link(
        path(name), label=as_text(label), icon=icon, query_params=_strings(parameters) or None
    )


def go(name: str, **parameters: str | int) -> NoReturn:
    """Leave for a page, its parameters in the address.

    Whatever somebody does in the same moment begins another run of the page that is left:
    `arrive` then leaves it again.
    """
    context = get_script_run_ctx()
    if context is not None:  # without a touch of Streamlit, where that other run could cut in
        _leaving[context.session_id] = context.page_script_hash, name, parameters
    st.switch_page(path(name), query_params=_strings(parameters) or None)


def arrive(page: str) -> None:
    """A run of a page begins: go on to where the last one was about to leave for."""
    context = get_script_run_ctx()
    found = _leaving.pop(context.session_id, None) if context is not None else None
    if found is None or context is None:
        return
    left, name, parameters = found
    if context.page_script_hash == left and page != name:
        go(name, **parameters)


def number(name: str) -> int | None:
    """A row's number from the address; None for anything that cannot be one."""
    return as_number(st.query_params.get(name, ""))


def as_number(text: str) -> int | None:
    """A row's number as somebody may have typed it; None for anything that cannot be one."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None


def _strings(parameters: dict[str, str | int]) -> dict[str, str]:
    return {key: str(value) for key, value in parameters.items()}
