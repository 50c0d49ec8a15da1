"""A widget for one setting of the recipe, and beside it what turns it into a schedule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from merging.methods import OptionField
from merging.recipes import schedules
from pages.components import problems
from pages.components.build import keys, schedule_shapes
from pages.components.build.draft import Draft, Slot
from pages.components.build.schedule_shapes import Mode

ICONS = {
    "one": ":material/trending_flat:",
    "layers": ":material/show_chart:",
    "modules": ":material/account_tree:",
    "none": ":material/link:",
}


@dataclass(frozen=True)
class Setting:
    """One setting on the page.

    Attributes:
        slot: where it lies in the draft.
        field: what its values may be.
        label: its name on screen.
        name: of its widgets, from which their keys are made.
        mark: what the keys of widgets with a value end with (see `keys`).
        names: of the model's tensors.
    """

    slot: Slot
    field: OptionField
    label: str
    name: str
    mark: str
    names: Sequence[str]

    @property
    def title(self) -> str:
        """Its name where it stands alone."""
        return f"Weight of {self.label}" if self.slot.kind == "weight" else self.label

    @property
    def key(self) -> str:
        """The key of the widget for a single value."""
        return keys.PREFIX + self.name + self.mark

    def button(self, part: str) -> str:
        """The key of a button of its editor."""
        return f"{keys.PREFIX}~{part}~{self.name}"

    def part(self, part: str) -> str:
        """The key of a widget of its editor."""
        return self.button(part) + self.mark

    def change(self, draft: Draft, value: Any) -> None:
        """Give it another value from outside of its widgets, which are made anew from it."""
        draft.set(self.slot, value)
        keys.renew(draft, self.name)


def draw(draft: Draft, setting: Setting, widget: Callable[[OptionField, str], Any]) -> None:
    """Draw the widget, or the schedule in words, and the menu beside it; write what is chosen.

    Args:
        draft: holds the value.
        setting: which.
        widget: draws one for a single value, and returns that.
    """
    value = draft.get(setting.slot)
    mode = schedule_shapes.mode_of(value)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall", wrap=False):
        if mode == "one":
            if setting.key not in st.session_state:
                st.session_state[setting.key] = value
            with st.container(gap=None):
                draft.set(setting.slot, widget(setting.field, setting.key))
        else:
            _words(setting, value)
        if mode != "one" or schedule_shapes.is_number(setting.field):
            _menu(draft, setting, mode)


def _words(setting: Setting, value: Any) -> None:
    with st.container(gap=None):
        st.caption(problems.as_text(setting.label))
        said = "as the other models" if value is None else schedules.in_words(value)
        st.markdown(problems.as_text(said if len(said) <= 48 else said[:45] + "…"))


def _menu(draft: Draft, setting: Setting, mode: Mode) -> None:
    """What the setting may be instead."""
    offered: list[Mode] = ["one", "modules"]
    if schedule_shapes.is_number(setting.field):
        offered.insert(1, "layers")
    if setting.slot.kind == "own":
        offered.insert(0, "none")
    key = setting.button("mode")
    st.menu_button(
        "",
        offered,
        key=key,
        icon=ICONS[mode],
        type="tertiary",
        help=f"{schedule_shapes.TITLES[mode]}. Press to vary {problems.as_text(setting.title)} "
        "over the layers or by module.",
        format_func=lambda one: f"{ICONS[one]} {schedule_shapes.TITLES[one]}",
        on_click=_switch,
        args=(draft, setting, key),
    )


def _switch(draft: Draft, setting: Setting, key: str) -> None:
    wanted: Mode | None = st.session_state.get(key)
    if wanted in schedule_shapes.TITLES:
        now = draft.get(setting.slot)
        changed = schedule_shapes.as_mode(now, wanted, setting.field, setting.names)
        setting.change(draft, changed)
