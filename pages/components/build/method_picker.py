"""Which method: a list to pick from, and when to use each, family by family."""

from __future__ import annotations

import streamlit as st

from merging.methods import METHODS, Method, get_method
from pages.components import problems
from pages.components.build import keys
from pages.components.build.draft import Draft

FAMILIES = (
    "Add up what was learnt",
    "Choose among the changes",
    "Drop changes at random",
    "Take matrices apart",
    "Average the weights",
    "Leave the weights as they are",
)


def draw(draft: Draft) -> str:
    """Draw the picker, which shows the draft's method, and return the chosen one's name."""
    names = [name for names in by_family().values() for name in names]
    key = keys.of(draft, "method")
    if key not in st.session_state:
        st.session_state[key] = draft.method
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        chosen: str = st.selectbox(
            "Merge method",
            names,
            key=key,
            format_func=lambda name: METHODS[name].title if name in METHODS else str(name),
            label_visibility="collapsed",
            width="stretch",
        )
        with st.popover("Which one?", icon=":material/help:", key=f"{keys.PREFIX}method_help"):
            _help(draft)
    return chosen


def by_family() -> dict[str, list[str]]:
    """The methods' names, family by family."""
    found: dict[str, list[str]] = {family: [] for family in FAMILIES}
    for name, method in METHODS.items():
        found[family_of(method)].append(name)
    return {family: names for family, names in found.items() if names}


def family_of(method: Method) -> str:
    """A method's family, by what it takes: a new method finds its own."""
    if method.needs_base == "forbidden" and method.max_models == 1:
        return FAMILIES[5]
    if method.whole_tensor:
        return FAMILIES[3]
    if method.random:
        return FAMILIES[2]
    if method.needs_base != "required":
        return FAMILIES[4]
    return FAMILIES[1] if method.statistics else FAMILIES[0]


def _help(draft: Draft) -> None:
    """Each method with a sentence; a press takes it."""
    for family, names in by_family().items():
        st.markdown(f"**{family}**")
        for name in names:
            method = get_method(name)
            with st.container(gap=None):
                st.button(
                    method.title,
                    key=f"{keys.PREFIX}method_take_{name}",
                    type="tertiary",
                    on_click=_take,
                    args=(draft, name),
                )
                when = method.when_to_use
                st.caption(problems.as_text(when[:1].upper() + when[1:]))


def _take(draft: Draft, name: str) -> None:
    draft.method = name
    keys.renew(draft, "method")
