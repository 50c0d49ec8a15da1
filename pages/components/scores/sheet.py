"""Compare, fourth tab: the answer sheet. One line per item, one column per model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from db.queries import compare
from db.queries.answers import Mark
from db.queries.compare import Item
from pages.components.problems import as_text
from pages.components.scores import item as scores_item
from pages.components.scores import plots as scores_plots
from pages.components.scores import unanswered as scores_unanswered
from pages.components.scores.picks import Comparison

ALL_TASKS = "all tasks"
FILTERS = {
    "different": "Different",
    "fixed": "Fixed",
    "regressed": "Regressed",
    "only": "Only the focus right",
    "wrong": "All wrong",
    "none": "No answer or cut off",
    "all": "All",
}
TEXT_LENGTH = 40
MOST_ITEMS = 20_000


def draw(comparison: Comparison) -> None:
    """Filters, the sheet, and the chosen item in full."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        task = st.selectbox(
            "Task", [ALL_TASKS, *comparison.tasks], key="task", bind="query-params", width=220
        )
        items = load(comparison, list(comparison.tasks) if task == ALL_TASKS else [task])
        focus = comparison.rows.index(comparison.focus)
        baseline = comparison.rows.index(comparison.baseline)
        counts = {n: len(compare.select_items(items, n, focus, baseline)) for n in FILTERS}
        chosen = pick_filter(comparison, counts)
    _explain(comparison)
    if len(items) > MOST_ITEMS:
        st.caption(f"The first {MOST_ITEMS:,} items are listed; choose a task to see the rest.")
    kept = compare.select_items(items, chosen, focus, baseline)[:MOST_ITEMS]
    if not kept:
        st.info("No item is like that." if items else "No answers were kept for these scores.",
                icon=":material/checklist:")  # fmt: skip
        return
    place = sheet(comparison, kept, focus, baseline)
    if place is None:
        st.caption("Tick a line to read the prompt and every model's answer.")
        return
    scores_item.draw(comparison, kept, place)


def pick_filter(comparison: Comparison, counts: Mapping[str, int]) -> str:
    """Which items to list, kept in the address as `filter=`."""
    options = list(FILTERS) if len(comparison.rows) > 1 else ["wrong", "none", "all"]
    asked = st.query_params.get("filter", "")
    if st.session_state.get("items") not in options:
        # A link to one item must find it, whatever the models made of it.
        usual = "all" if len(options) < len(FILTERS) or "item" in st.query_params else "different"
        st.session_state["items"] = asked if asked in options else usual
    chosen = st.segmented_control(
        "Items", options, required=True, key="items", wrap=True,
        format_func=lambda name: f"{FILTERS[name]} ({counts[name]:,})",
    )  # fmt: skip
    st.query_params["filter"] = str(chosen)
    return str(chosen)


def load(comparison: Comparison, tasks: Sequence[str]) -> list[Item]:
    """Every item of the tasks; a model whose settings differ on a task is left blank there."""
    wanted: dict[str, list[int | None]] = {}
    for task in tasks:
        hashes = [r.scores[task].config_hash for r in comparison.rows if task in r.scores]
        shown = hashes[0] if hashes else None
        wanted[task] = [
            row.scores[task].evaluation_id
            if task in row.scores and row.scores[task].config_hash == shown
            else None
            for row in comparison.rows
        ]
    return compare.sheet(wanted)


def _explain(comparison: Comparison) -> None:
    focus, baseline = comparison.focus.entry.name, comparison.baseline.entry.name
    if comparison.focus is not comparison.baseline:
        st.caption(
            f"Fixed: **{as_text(focus)}** is right where **{as_text(baseline)}** is wrong. "
            "Regressed: the other way round."
        )


def sheet(comparison: Comparison, items: list[Item], focus: int, baseline: int) -> int | None:
    """The table; returns the place of the ticked item."""
    asked = st.query_params.get("item", "")
    places = [i for i, item in enumerate(items) if asked in (_name(item), str(item.doc_id))]
    at = st.session_state.get("sheet_item") or ("", -1)
    mine = [i for i, item in enumerate(items) if (item.task, item.doc_id) == at]
    default = (mine or places)[:1]
    data = frame(comparison, items, focus, baseline)
    event = st.dataframe(
        data,
        hide_index=True,
        height=310,
        # A filter makes another table: a ticked place would otherwise mean another item.
        key=f"sheet-{hash(tuple((i.task, i.doc_id) for i in items))}",
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": default}},
        column_config={"Item": st.column_config.NumberColumn(width=60)},
        alt=f"Answers of {len(comparison.rows)} models to {len(items)} items",
    )
    chosen = [i for i in event.selection.rows if i < len(items)]
    if not chosen:
        st.session_state.sheet_item = None
        st.query_params.pop("item", None)
        return None
    item = items[chosen[0]]
    st.session_state.sheet_item = (item.task, item.doc_id)
    st.query_params["item"] = _name(item)
    return chosen[0]


def _name(item: Item) -> str:
    return f"{item.task}/{item.doc_id}"


def frame(comparison: Comparison, items: Sequence[Item], focus: int, baseline: int) -> pd.DataFrame:
    """The sheet as data: `✓ Oslo` for a right answer, `✗ Rome` for a wrong one."""
    names = [scores_plots.short(row.entry.name) for row in comparison.rows]
    columns = {
        _distinct(names, i): [told(item.marks[i]) for item in items] for i in range(len(names))
    }
    change = [
        "▲ fixed" if compare.is_fixed(item, focus, baseline)
        else "▼ regressed" if compare.is_regressed(item, focus, baseline) else ""
        for item in items
    ]  # fmt: skip
    return pd.DataFrame(
        {
            "Task": [item.task for item in items],
            "Item": [item.doc_id for item in items],
            **({"Change": change} if focus != baseline else {}),
            **columns,
        }
    )


def _distinct(names: Sequence[str], place: int) -> str:
    return names[place] + "\u200b" * names[:place].count(names[place])


def told(mark: Mark | None) -> str:
    """One cell: right or wrong as a sign, then the answer."""
    if mark is None:
        return "– not asked"
    if state := scores_unanswered.state(mark):
        return state
    sign = f"{mark.score:.2f}" if mark.correct is None else "✓" if mark.correct else "✗"
    answer = " ".join((mark.extracted or "").split())
    if not answer:
        answer = "right" if mark.correct else "no answer" if mark.extracted is None else "empty"
    return f"{sign} {answer[:TEXT_LENGTH]}{'…' if len(answer) > TEXT_LENGTH else ''}"
