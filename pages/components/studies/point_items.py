"""A point's items: right and wrong beside its constituents, and one item in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from jobs.studies import shown
from pages.components import problems

if TYPE_CHECKING:
    from jobs.studies.shown import Shown


def draw(study_id: int, found: Shown) -> None:
    """A task, its items, and the chosen one."""
    tasks = [task["task"] for task in found.tasks]
    wanted = st.query_params.get("task")
    start = tasks.index(wanted) if wanted in tasks else 0
    task = st.selectbox(
        "Task", tasks, index=start, key=f"study_task_{found.key}_{wanted}", width=340
    )
    rows = shown.items(study_id, found.key, task)
    if not rows:
        st.caption("No items were kept for this task.")
        return
    asked = st.query_params.get("item", "") if task == wanted else ""
    rows.sort(key=lambda row: str(row["doc_id"]) != asked)  # the one that was clicked stands first
    names = dict(zip(found.keys, ("This merge", *found.models[1:]), strict=True))
    table = [
        {"Item": row["doc_id"], **{name: _mark(row[key]) for key, name in names.items()},
         "Used for": "reporting" if row["reported"] else "choosing"}
        for row in rows
    ]  # fmt: skip
    places = [0] if str(rows[0]["doc_id"]) == asked else []
    event = st.dataframe(
        pd.DataFrame(table), hide_index=True, height=240, key=f"study_items_{found.key}_{task}",
        on_select="rerun", selection_mode="single-row",
        selection_default={"selection": {"rows": places}},
        alt=f"Right and wrong answers to {len(table)} items of {task}",
    )  # fmt: skip
    chosen = [i for i in event.selection.rows if i < len(rows)]
    if not chosen:
        st.caption("What they differ on comes first. Tick a line to read what each answered.")
        return
    _item(shown.said(study_id, found.key, task, rows[chosen[0]]["doc_id"]))


def _mark(score: float | None) -> str:
    if score is None:
        return "–"
    return {1.0: "✓ right", 0.0: "✗ wrong"}.get(score, f"{score:.2f}")


def _item(told: dict[str, Any] | None) -> None:
    """Everything that was kept. All of it is shown as plain text: models may write anything."""
    if told is None:
        st.info("This item's answers are not there any more.", icon=":material/info:")
        return
    asked, wanted = st.columns([3, 1])
    with asked:
        _text("Prompt", told["prompt"])
    with wanted:
        _text("Target", told["target"])
    with st.grid(len(told["answers"]), min_column_width=200) as grid:
        for place, one in enumerate(told["answers"]):
            with grid.cell():
                name = "This merge" if place == 0 else one["model"]
                st.markdown(f"**{problems.as_text(name)}** {_badge(one)}")
                _text(None, one["answer"])


def _badge(one: dict[str, Any]) -> str:
    if one["state"] in ("missing", "truncated"):
        said = {"missing": "no answer", "truncated": "cut off"}[one["state"]]
        return f":orange-badge[{said}]"
    if one["score"] is None:
        return ""
    color = {1.0: "green", 0.0: "red"}.get(one["score"], "gray")
    return f":{color}-badge[{_mark(one['score'])}]"


def _text(label: str | None, text: str | None) -> None:
    if label:
        st.caption(label)
    shown_text = text if text and text.strip() else "(nothing kept)" if text is None else "(empty)"
    st.code(shown_text, language=None, wrap_lines=True)
