"""Presses that are not lost.

Streamlit hands a press to one run of the script, and `st.button` returns True in that run alone.
Where another run takes its place before it has got to the button (somebody types and clicks
quickly, a job ends, the machine is slow), the press is gone. Here a press waits until some run
of its page has got to the button, and is followed there, with what the fields hold by then.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.components.problems import as_text

KEY = "presses"
# of an address: one page shows every model
SUBJECTS = ("id", "name", "job", "group", "study", "search")


class _Waiting(dict[str, str]):
    """What was pressed and not followed yet: labels by key; and what the page was about."""

    about: tuple[str, ...] = ()


def button(label: str, *, key: str, disabled: bool = False, **options: Any) -> bool:
    """`st.button`, whose press waits; True in exactly one run, which is to follow it."""
    waiting = _waiting()
    st.button(
        label, key=key, disabled=disabled, on_click=_keep, args=(waiting, key, label), **options
    )
    # a press from before the page knew that it stands in the way is dropped: the page says why
    return waiting.pop(key, None) is not None and not disabled


def submit(label: str, *, key: str, disabled: bool = False, **options: Any) -> bool:
    """`st.form_submit_button`, whose press waits."""
    waiting = _waiting()
    st.form_submit_button(
        label, key=key, disabled=disabled, on_click=_keep, args=(waiting, key, label), **options
    )
    return waiting.pop(key, None) is not None and not disabled


def enter(page: str) -> None:
    """A run of a page begins: what was pressed on another one and not followed is told of."""
    waiting = _waiting()
    about = (page, *(st.query_params.get(name, "") for name in SUBJECTS))
    if waiting.about != about:
        for label in waiting.values():
            st.toast(f"{as_text(label)}: not done, you left first.", icon=":material/undo:")
        waiting.clear()
        waiting.about = about


def leave() -> None:
    """A run has drawn its whole page: what waits for a button that is gone waits no longer."""
    _waiting().clear()


def _waiting() -> _Waiting:
    if KEY not in st.session_state:
        st.session_state[KEY] = _Waiting()
    waiting: _Waiting = st.session_state[KEY]
    return waiting


def _keep(waiting: _Waiting, key: str, label: str) -> None:
    """Touches nothing of Streamlit's: wherever one does, a waiting run may cut a callback off."""
    waiting[key] = label
