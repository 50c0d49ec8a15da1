"""The first view: findings in words, and the merge that was chosen of each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from jobs.studies import shown
from pages.components import problems, words
from pages.components.studies import point

if TYPE_CHECKING:
    from jobs.studies.shown import Best

VERDICTS = {
    "supported": ("green", "check_circle"),
    "not supported": ("red", "cancel"),
    "cannot tell": ("gray", "help"),
}
STAGES = {"1": "1 · base + expert", "2": "2 · pairs", "3": "3 · triples", "instruct": "instruct"}


def draw(study_id: int) -> None:
    """Draw it."""
    results = shown.results(study_id)
    if not results.points:
        st.info("The first merges are not scored yet; findings and pictures come with them.",
                icon=":material/hourglass:")  # fmt: skip
        return
    _findings(study_id)
    _best(study_id)


def _findings(study_id: int) -> None:
    st.subheader("What this study says of the papers' claims", anchor=False)
    found = shown.findings(study_id)
    for start in range(0, len(found.findings), 2):
        both = found.findings[start : start + 2]
        for column, one in zip(st.columns(2), both, strict=False):
            with column.container(border=True, height="stretch", gap="small"):
                _finding(one)
    for note in found.notes:
        st.caption(problems.as_text(note))


def _finding(one: Any) -> None:
    color, icon = VERDICTS[one.verdict]
    st.markdown(
        f":{color}-badge[:material/{icon}: {one.verdict}] **{problems.as_text(one.title)}**"
    )
    st.markdown(problems.as_text(one.sentence))
    told = [problems.as_text(one.source)]
    if one.test:
        told.append(problems.as_text(one.test))
    if one.p is not None:
        told.append("p < 0.001" if one.p < 0.001 else f"p = {one.p:.2g}")
    if one.n:
        told.append(f"{one.n:,} {problems.as_text(one.unit)}")
    st.caption(" · ".join(told))


def _best(study_id: int) -> None:
    found = shown.best(study_id)
    if not found:
        return
    st.subheader("The best merge of each", anchor=False)
    split = shown.results(study_id).has_split
    st.caption(
        "Chosen on the items for choosing, scored on the reported ones. Tick a line to open it."
        if split
        else "Chosen on the very items that are reported, so flattered. Tick a line to open it."
    )
    rows = [_row(one) for one in found]
    points = st.column_config.NumberColumn(format="%.1f")
    event = st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        key=point.table_key("best"),
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "Score": points,
            "Best parent's": points,
            "Difference": st.column_config.NumberColumn(format="%+.1f"),
            "Tried": st.column_config.NumberColumn(help="Merges that it was chosen from."),
        },
        alt=f"The chosen one of {words.plural(len(rows), 'kind')} of merges",
    )
    chosen = [i for i in event.selection.rows if i < len(found)]
    if chosen:
        point.ask(found[chosen[0]].key)


def _row(one: Best) -> dict[str, object]:
    both = one.score is not None and one.best_score is not None
    return {
        "Stage": STAGES.get(one.stage, one.stage),
        "Merge": one.who,
        "How": one.how,
        "Score": None if one.score is None else 100 * one.score,
        "Best parent": one.best,
        "Best parent's": None if one.best_score is None else 100 * one.best_score,
        "Difference": 100 * (one.score - one.best_score) if both else None,  # type: ignore[operator]
        "Tried": one.n,
    }
