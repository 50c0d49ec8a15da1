"""What a form holds in this tab, and its widgets' first values: for every form that has a draft.

A widget's value lives under its key while its page is shown; the draft keeps it across pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import streamlit as st

from db.queries.models import ModelRow


def current(form: str) -> Any:
    """The draft of a form in this tab; None before there is one."""
    return st.session_state.get(f"{form}_draft")


def put(form: str, draft: Any) -> None:
    """Show another draft: the widgets are made anew from it. Only before they are drawn."""
    before = current(form)
    draft.number = 0 if before is None else before.number + 1
    st.session_state[f"{form}_draft"] = draft


def seeded(key: str, value: Any) -> str:
    """A widget's key, holding the draft's value when the widget is new to this page."""
    if key not in st.session_state:
        st.session_state[key] = value
    return key


def names(models: Sequence[ModelRow], role: str, named: Iterable[str | None]) -> list[str]:
    """Every model's name, those of the role first, and whatever else the draft names."""
    fitting = sorted(models, key=lambda row: (row.role != role, row.role == "merge", row.id))
    return list(dict.fromkeys([*(row.name for row in fitting), *(one for one in named if one)]))
