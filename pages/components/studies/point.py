"""One merge of a study: recipe, scores beside its constituents, items, and what to do with it.

It is a dialog over the view that it was opened from; `?point=KEY` opens it from an address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from db.queries.studies import StudyRow
from jobs.studies import reuse, shown
from pages.components import links, presses, problems, words
from pages.components.studies import point_items

if TYPE_CHECKING:
    from jobs.studies.shown import Shown

NUMBER = "study_closed"  # how many dialogs were closed: part of the keys of what opens them
ADDRESS = ("point", "task", "item")


def table_key(name: str) -> str:
    """Key of a table or picture whose selection opens a point; closing clears the selection."""
    return f"study_{name}#{st.session_state.get(NUMBER, 0)}"


def ask(key: str, task: str | None = None, item: int | None = None) -> None:
    """A mark or line was chosen: the point is opened at the end of this run.

    Args:
        key: of the point.
        task: that its items are shown of.
        item: number of the document that is shown first.
    """
    st.query_params["point"] = key
    for name, value in (("task", task), ("item", item)):
        if value is None or value == "":
            st.query_params.pop(name, None)
        else:
            st.query_params[name] = str(value)


def draw_asked(row: StudyRow) -> None:
    """Open the point that the address names."""
    key = st.query_params.get("point")
    if not key:
        return
    found = shown.point(row.id, key[:40])
    if found is None:
        st.query_params.pop("point", None)
        st.toast("The address names no merge of this study.", icon=":material/help:")
        return
    title = problems.as_text(found.label if len(found.label) < 110 else found.label[:107] + "…")
    st.dialog(title, width="large", on_dismiss=_close)(_body)(row, found)


def _close() -> None:
    for name in ADDRESS:
        st.query_params.pop(name, None)
    st.session_state[NUMBER] = st.session_state.get(NUMBER, 0) + 1


def _body(row: StudyRow, found: Shown) -> None:
    _actions(row, found)
    if found.error:
        st.error(problems.as_text(found.error), icon=":material/error:")
    if not found.tasks:
        if found.state != "failed":
            st.info("This merge is not scored yet.", icon=":material/hourglass:")
        _recipe(found)
        return
    tab = st.segmented_control(
        "Show", ["Scores", "Items", "Recipe"],
        default="Items" if "item" in st.query_params else "Scores", required=True,
        key=table_key(f"tab_{found.key}"), label_visibility="collapsed",
    )  # fmt: skip
    if tab == "Scores":
        _scores(found)
    elif tab == "Items":
        point_items.draw(row.id, found)
    else:
        _recipe(found)


def _actions(row: StudyRow, found: Shown) -> None:
    made = reuse.made(found.steps)
    _lineage(found, made.name if made is not None else None)
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        _in_build(row, found)
        if made is not None:
            links.link("model", "Its model", icon=":material/deployed_code:", id=made.id)
            if presses.button("Chat", key="study_point_chat", icon=":material/forum:"):
                links.go("chat", model=made.name)
            return
        if presses.button(
            "Make a model of it", key="study_point_make", icon=":material/deployed_code:",
            help="Merges it into a folder and scores it like every other model.",
        ):  # fmt: skip
            _make(row, found)
        if presses.button(
            "Make it and chat", key="study_point_chat", icon=":material/forum:",
            help="There is no model of it yet: it is made first, and its job's page leads to the "
            "chat.",
        ):  # fmt: skip
            _make(row, found)
    said = [f"stage {found.stage}"]
    if found.seconds is not None:
        said.append(f"merged and scored in {words.duration(found.seconds)}")
    st.caption(" · ".join([*said, f"key {found.key}"]))


def _in_build(row: StudyRow, found: Shown) -> None:
    """One recipe opens in Build. Of two, the first does; the second over the first's model."""
    if len(found.steps) == 1:
        if presses.button("Open in Build", key="study_point_build", icon=":material/science:"):
            links.go("build", point=f"{row.id}.{found.key}")
        return
    if found.on is not None and presses.button(
        "First merge in Build", key="study_point_below", icon=":material/science:",
        help="This is two merges, one upon the other. Its first is a merge of this study.",
    ):  # fmt: skip
        links.go("build", point=f"{row.id}.{found.on}")
    there = reuse.over_first(found.steps) is not None
    if presses.button(
        "Second in Build", key="study_point_build", icon=":material/science:", disabled=not there,
        help="Adds the instruct model to the first merge, which is a model already." if there else
        "Build takes it as soon as the first merge is a model: make a model of this one, or merge "
        "the first in Build.",
    ):  # fmt: skip
        links.go("build", point=f"{row.id}.{found.key}")


def _lineage(found: Shown, model: str | None) -> None:
    if found.copied:
        where = f"the model {problems.as_text(model)}" if model else "another study"
        st.caption(f"Not scored again: the same merge had been scored before, as {where}.")


def _make(row: StudyRow, found: Shown) -> None:
    from jobs.studies import submit

    with problems.told():
        links.go("job", group=submit.materialise(row.id, found.key))


def _scores(found: Shown) -> None:
    first, *others = found.models
    rows = []
    for task in found.tasks:
        values = [task[name] for name in others if task[name] is not None]
        mine = task[first]
        best = max(values) if values else None
        rows.append(
            {"Domain": task["domain"], "Task": task["task"],
             "This merge": None if mine is None else 100 * mine,
             "Over the best": 100 * (mine - best) if None not in (mine, best) else None,
             **{name: None if task[name] is None else 100 * task[name] for name in others}}
        )  # fmt: skip
    number = st.column_config.NumberColumn(format="%.1f")
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, height=430,
        column_config={
            "This merge": number, **dict.fromkeys(others, number),
            "Over the best": st.column_config.NumberColumn(format="%+.1f"),
        },
        alt=f"Scores of {found.label} on {len(rows)} tasks beside its constituents",
    )  # fmt: skip
    st.caption("Points of a hundred, on the reported items.")


def _recipe(found: Shown) -> None:
    if len(found.steps) > 1:
        st.caption("Two merges, one upon the other: the second takes the first as @previous. "
                   "*First merge in Build* opens the first; once it is a model, the second opens "
                   "over it.")  # fmt: skip
    for text in found.steps:
        st.code(text, language="yaml")
