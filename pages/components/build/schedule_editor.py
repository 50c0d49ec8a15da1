"""The editor of one schedule: its points or its rows, and the picture beside them."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.components import problems
from pages.components.build import keys, schedule_picture, schedule_shapes
from pages.components.build.draft import Draft
from pages.components.build.schedule_field import Setting

MOST_SLIDERS = 6  # more points are edited as a line of numbers
MOST_ROWS = 20  # more filters are edited in the recipe's text
ELSE, OWN = "Everything else", "Own text …"
SHAPE_ICONS = {
    "Rising": ":material/trending_up:",
    "Falling": ":material/trending_down:",
    "Hill": ":material/keyboard_arrow_up:",
    "Valley": ":material/keyboard_arrow_down:",
}


def draw(draft: Draft, setting: Setting, anatomy: Any, otherwise: list[Any]) -> None:
    """Draw the editor of a setting that is a schedule, and write what is chosen to the draft.

    Args:
        draft: holds the schedule.
        setting: which.
        anatomy: the model's tensors.
        otherwise: what counts, in this order, where no filter matches.
    """
    mode = schedule_shapes.mode_of(draft.get(setting.slot))
    with st.container(border=True):
        st.markdown(f"**{problems.as_text(setting.title)}**")
        if mode == "modules":
            _modules(draft, setting)
        elif schedule_shapes.is_number(setting.field):
            _gradient(draft, setting, anatomy)
        else:
            st.caption("A switch that changes from layer to layer is edited in the recipe's text.")
        schedule_picture.draw(draft.get(setting.slot), setting, anatomy, otherwise)


def _gradient(draft: Draft, setting: Setting, anatomy: Any) -> None:
    """Ready shapes, then a slider or number per point."""
    points = draft.get(setting.slot)
    with st.container(horizontal=True, gap="xsmall"):
        for name, icon in SHAPE_ICONS.items():
            st.button(
                name,
                key=setting.button(f"shape{name}"),
                icon=icon,
                type="tertiary",
                on_click=_shape,
                args=(draft, setting, name),
            )
    if len(points) > MOST_SLIDERS or any(isinstance(one, str) for one in points):
        _line_of_numbers(draft, setting)
    else:
        _points(draft, setting, anatomy.count)
    with st.container(horizontal=True, gap="xsmall"):
        st.button(
            "Add a point",
            key=setting.button("add"),
            icon=":material/add:",
            on_click=_add_point,
            args=(draft, setting),
        )
        st.button(
            "Remove the last",
            key=setting.button("remove"),
            icon=":material/remove:",
            disabled=len(points) < 3,
            on_click=_remove_point,
            args=(draft, setting),
        )


def _points(draft: Draft, setting: Setting, layers: int) -> None:
    """The points side by side, as they stand in the picture."""
    points = draft.get(setting.slot)
    cells = st.columns(min(3, len(points)), gap="medium")
    chosen = []
    for number, value in enumerate(points):
        with cells[number % len(cells)]:
            label = _place(number, len(points), layers)
            chosen.append(_point(setting, value, number, label))
    draft.set(setting.slot, chosen)


def _line_of_numbers(draft: Draft, setting: Setting) -> None:
    key = setting.part("numbers")
    if key not in st.session_state:
        st.session_state[key] = schedule_shapes.said(draft.get(setting.slot))
    st.text_input(
        "From the first layer to the last",
        key=key,
        help="Numbers with commas between them.",
        on_change=_numbers,
        args=(draft, setting, key),
    )


def _place(number: int, count: int, layers: int) -> str:
    """Where a point lies: the first and the last layer are said in words."""
    if number == 0:
        return "First layer"
    if number == count - 1:
        return "Last layer"
    place = number * (layers - 1) / (count - 1)
    return f"Layer {place:g}" if place == int(place) else f"Near layer {place:.1f}"


def _point(setting: Setting, value: Any, number: int, label: str) -> Any:
    """One point; dragged where the option has limits on both sides."""
    field, key = setting.field, setting.part(f"point{number}")
    if key not in st.session_state:
        st.session_state[key] = value
    whole = field.kind == "int"
    kind = int if whole else float
    step = kind(field.step or (1 if whole else 0.01))
    if field.minimum is not None and field.maximum is not None:
        return st.slider(label, kind(field.minimum), kind(field.maximum), step=step, key=key)
    least = -100.0 if field.minimum is None else kind(field.minimum)
    most = 100.0 if field.maximum is None else kind(field.maximum)
    return st.number_input(label, least, most, step=step, key=key)


def _modules(draft: Draft, setting: Setting) -> None:
    """A row per filter."""
    rows = draft.get(setting.slot)
    if len(rows) > MOST_ROWS:
        st.caption(f"{len(rows)} filters: edited in the recipe's text.")
        return
    st.caption("The first line that names a tensor counts. Several numbers are a gradient.")
    draft.set(setting.slot, [_row(draft, setting, row, number) for number, row in enumerate(rows)])
    st.button(
        "Add a line",
        key=setting.button("add"),
        icon=":material/add:",
        on_click=_add_row,
        args=(draft, setting),
    )


def _row(draft: Draft, setting: Setting, row: dict[str, Any], number: int) -> dict[str, Any]:
    """Part of the model, value, and a button that takes the row away."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall", wrap=False):
        with st.container(gap="xsmall"):
            found = _filter(setting, row.get("filter"), number)
        value = _value(setting, row["value"], number)
        st.button(
            "",
            key=setting.button(f"away{number}"),
            icon=":material/close:",
            type="tertiary",
            help="Take this line away",
            disabled=len(draft.get(setting.slot)) < 2,
            on_click=_remove_row,
            args=(draft, setting, number),
        )
    return {"value": value} if found is None else {"filter": found, "value": value}


def _filter(setting: Setting, filter_: str | None, number: int) -> str | None:
    """The part of the model that a row is about."""
    key, text_key = setting.part(f"part{number}"), setting.part(f"text{number}")
    now = ELSE if filter_ is None else schedule_shapes.title_of(filter_) or OWN
    if key not in st.session_state:
        st.session_state[key] = now
        if now == OWN:
            st.session_state[text_key] = filter_
    chosen = st.selectbox(
        "Part of the model",
        [*schedule_shapes.PARTS, OWN, ELSE],
        key=key,
        label_visibility="visible" if number == 0 else "collapsed",
    )
    if chosen == ELSE:
        return None
    if chosen != OWN:  # a part that was chosen before keeps its very name
        known = schedule_shapes.title_of(filter_) == chosen
        return filter_ if known else schedule_shapes.filter_of(str(chosen), setting.names)
    if text_key not in st.session_state:
        st.session_state[text_key] = filter_ or ""
    return st.text_input(
        "Text in the tensor's name",
        key=text_key,
        label_visibility="collapsed",
        placeholder="q_proj, or re:layers\\.[0-3]\\.",
        max_chars=200,
        help="A part of the tensors' names; a regular expression begins with re:",
    )


def _value(setting: Setting, value: Any, number: int) -> Any:
    """What the part gets: a number, a gradient as numbers with commas, a choice or a switch."""
    key = setting.part(f"value{number}")
    visible = "visible" if number == 0 else "collapsed"
    field = setting.field
    if schedule_shapes.is_number(field):
        if key not in st.session_state:
            st.session_state[key] = schedule_shapes.said(value)
        text = st.text_input("Value", key=key, label_visibility=visible, placeholder="0.5, 1")
        return value if text == schedule_shapes.said(value) else schedule_shapes.read(text)
    if isinstance(value, list):
        return value  # a switch that changes over the layers is the text's
    if key not in st.session_state:
        st.session_state[key] = value
    choices = list(field.choices) if field.kind == "choice" else [True, False]
    return st.selectbox(
        "Value",
        choices,
        key=key,
        label_visibility=visible,
        format_func=lambda one: {True: "on", False: "off"}.get(one, one),
    )


def _shape(draft: Draft, setting: Setting, name: str) -> None:
    setting.change(draft, schedule_shapes.shape(name, draft.get(setting.slot), setting.field))


def _numbers(draft: Draft, setting: Setting, key: str) -> None:
    if key != keys.PREFIX + f"~numbers~{setting.name}" + keys.mark(draft, setting.name):
        return  # of a field that has been filled anew since
    numbers = schedule_shapes.read(st.session_state[key])
    setting.change(draft, numbers if isinstance(numbers, list) else [numbers])


def _add_point(draft: Draft, setting: Setting) -> None:
    setting.change(draft, schedule_shapes.add_point(draft.get(setting.slot)))


def _remove_point(draft: Draft, setting: Setting) -> None:
    setting.change(draft, draft.get(setting.slot)[:-1])


def _add_row(draft: Draft, setting: Setting) -> None:
    """Before "everything else", which would hide it."""
    rows = draft.get(setting.slot)
    used = {schedule_shapes.title_of(row.get("filter")) for row in rows}
    free = next((title for title in schedule_shapes.PARTS if title not in used), "Attention")
    new = {
        "filter": schedule_shapes.filter_of(free, setting.names),
        "value": rows[-1]["value"],
    }
    at = len(rows) - 1 if "filter" not in rows[-1] else len(rows)
    setting.change(draft, [*rows[:at], new, *rows[at:]])


def _remove_row(draft: Draft, setting: Setting, number: int) -> None:
    rows = draft.get(setting.slot)
    setting.change(draft, [row for place, row in enumerate(rows) if place != number])
