"""Every page by a short name, and ways to get there with its parameters in the address."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import streamlit as st

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
}


def path(name: str) -> Path:
    """File of a page."""
    return FOLDER / FILES[name]


def link(name: str, label: str, icon: str | None = None, **parameters: str | int) -> None:
    """A link to a page, its parameters in the address; the label is text, not Markdown."""
    st.page_link(
        path(name), label=as_text(label), icon=icon, query_params=_strings(parameters) or None
    )


def go(name: str, **parameters: str | int) -> NoReturn:
    """Leave for a page, its parameters in the address."""
    st.switch_page(path(name), query_params=_strings(parameters) or None)


def number(name: str) -> int | None:
    """A row's number from the address; None for anything that cannot be one."""
    return as_number(st.query_params.get(name, ""))


def as_number(text: str) -> int | None:
    """A row's number as somebody may have typed it; None for anything that cannot be one."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None


def _strings(parameters: dict[str, str | int]) -> dict[str, str]:
    return {key: str(value) for key, value in parameters.items()}
