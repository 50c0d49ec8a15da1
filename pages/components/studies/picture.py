"""One picture of a study: its switches, the figure, its numbers; a click opens the merge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from jobs.studies import pictures, shown
from pages.components import words
from pages.components.studies import point

if TYPE_CHECKING:
    from jobs.studies.pictures import Drawn

MOST_CHOICES = 4  # more are a list, not a row of buttons
MOST_CHARS = 60
WIDE, LEAST_PIXELS = "study_picture", 520
FLATTERED = "There is no split: what is best was chosen on the very items it is reported on."


def draw(study_id: int, name: str) -> None:
    """Draw it as far as it can be known by now."""
    found = pictures.analysed(study_id, name)
    split = shown.results(study_id).has_split
    st.caption(found.picture.about if split else f"{found.picture.about} {FLATTERED}")
    chosen = _choices(found)
    theme = "dark" if st.context.theme.type == "dark" else "light"
    figure = pictures.figure(found, theme, chosen)
    switched = "_".join(f"{value}" for value in chosen.values())
    key = point.table_key(f"picture_{name}_{switched}_{theme}")
    pixels = int((figure.layout.meta or {}).get("min_width", LEAST_PIXELS))
    # on a telephone a picture keeps a readable width, and is moved sideways
    st.html(f"<style>.st-key-{WIDE} {{overflow-x: auto}} "
            f".st-key-{WIDE} > * {{min-width: {pixels}px}}</style>")  # fmt: skip
    with st.container(key=WIDE):
        event = st.plotly_chart(
            figure, key=key, theme=None, config=dict(pictures.config()), on_select="rerun",
            selection_mode="points", alt=f"{found.picture.title}. {found.picture.about}",
        )  # fmt: skip
    _clicked(key, event, chosen)
    _numbers(found, name)


def _choices(found: Drawn) -> dict[str, str]:
    chosen: dict[str, str] = {}
    if not found.choices:
        return chosen
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for one in found.choices:
            if len(one.values) < 2:
                chosen[one.name] = one.default
                continue
            key = f"study_choice_{found.picture.name}_{one.name}"
            if st.session_state.get(key) not in one.values:
                st.session_state[key] = one.default
            said = "".join(one.values.values())
            if len(one.values) <= MOST_CHOICES and len(said) <= MOST_CHARS:
                value = st.segmented_control(
                    one.title, list(one.values), key=key, required=True,
                    format_func=one.values.__getitem__,
                )  # fmt: skip
            else:
                value = st.selectbox(
                    one.title, list(one.values), key=key, width=300,
                    format_func=lambda each, values=one.values: values.get(each, str(each)),
                )  # fmt: skip
            chosen[one.name] = value or one.default
    return chosen


def _clicked(key: str, event: Any, chosen: Mapping[str, str]) -> None:
    """A mark stands for one merge, for several, for none, or for one model's answer to an item."""
    marks = [mark for mark in event.selection.points if mark.get("customdata")]
    if not marks:
        st.session_state.pop(f"{key}_done", None)
        return
    data = marks[0]["customdata"]
    data = list(data) if isinstance(data, list | tuple) else [data]
    keys = str(data[0] or "").split()
    task = str(data[2]) if len(data) > 2 else None
    item = int(data[4]) if len(data) > 4 else None
    if item is not None and "merge" in chosen:
        keys = [chosen["merge"]]  # a parent's answer is read beside the merge's
    said = (keys, task, item)
    fresh = st.session_state.get(f"{key}_done") != said
    st.session_state[f"{key}_done"] = said
    if len(keys) == 1 and fresh:
        point.ask(keys[0], task, item)
    elif len(keys) > 1:
        _several(keys)


def _several(keys: list[str]) -> None:
    """A mark of several merges: which of them?"""
    st.caption(f"{words.plural(len(keys), 'merge')} behind this mark; tick one to open it.")
    rows = pictures.rows_of(int(st.query_params.get("study", "0") or 0), keys)
    event = st.dataframe(
        pd.DataFrame(rows), hide_index=True, key=point.table_key("several_" + keys[0]),
        column_order=("merge", "method", "score"), on_select="rerun", selection_mode="single-row",
        column_config={
            "merge": "Merge", "method": "How",
            "score": st.column_config.NumberColumn("Score", format="percent"),
        },
    )  # fmt: skip
    chosen = [i for i in event.selection.rows if i < len(rows)]
    if chosen:
        point.ask(rows[chosen[0]]["key"])


def _numbers(found: Drawn, name: str) -> None:
    """The numbers behind the picture, as files; a look at them on demand."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        for title in found.tables:
            st.download_button(
                f"{title.replace('_', ' ')} (CSV)",
                lambda title=title: pd.DataFrame(found.tables[title]).to_csv(index=False),
                f"{title}.csv", "text/csv", key=f"study_csv_{name}_{title}", on_click="ignore",
                type="tertiary", icon=":material/download:",
            )  # fmt: skip
        table = st.toggle("Show the numbers", key=f"study_numbers_{name}")
    if table:
        for rows in found.tables.values():
            st.dataframe(pd.DataFrame(rows), hide_index=True, height=320)
