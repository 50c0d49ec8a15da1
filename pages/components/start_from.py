"""Above a form: a shipped file to begin with, and adding a model that is not there yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from pages.components import add_model
from pages.components.gallery import Example


def draw(
    form: str, label: str, shipped: Sequence[Example], said: str, load: Callable[[str], None]
) -> None:
    """Draw both.

    Args:
        form: what the keys of the widgets begin with.
        label: of the list.
        shipped: what there is to begin with.
        said: the same in words, while nothing is chosen.
        load: puts a chosen one's text into the form.
    """
    found = {each.key: each for each in shipped}
    key = f"{form}_example"

    def take() -> None:
        """Runs before the form is drawn, so that the form shows it at once."""
        chosen = found.get(st.session_state.get(key) or "")
        if chosen:
            load(chosen.text)

    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.selectbox(
            label,
            list(found),
            index=None,
            key=key,
            format_func=lambda each: found[each].title if each in found else str(each),
            placeholder=said,
            on_change=take,
            width=420,
        )
        with st.popover("Add a model", icon=":material/add:"):
            add_model.draw(f"{form}_add")
    chosen = found.get(st.session_state.get(key) or "")
    if chosen:
        st.caption(chosen.story)
