"""Every merge of a study in one table; a tick opens one."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from jobs.studies import shown
from pages.components import words
from pages.components.studies import point

COLUMNS = ("stage", "merge", "method", "score", "state", "seconds", "error")


def draw(study_id: int) -> None:
    """Filter, table, CSV."""
    rows = shown.points(study_id)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        search = st.text_input(
            "Contains", key="study_points_search", placeholder="finance + math, TIES, failed …",
            width=300,
        )  # fmt: skip
        st.download_button(
            "points (CSV)", lambda: pd.DataFrame(rows).to_csv(index=False), "points.csv",
            "text/csv", key="study_csv_points", on_click="ignore", type="tertiary",
            icon=":material/download:",
        )  # fmt: skip
    wanted = (search or "").casefold().split()
    kept = [
        row for row in rows
        if all(word in " ".join(str(one) for one in row.values()).casefold() for word in wanted)
    ]  # fmt: skip
    if not kept:
        st.caption("No merge matches." if rows else "Nothing is planned yet.")
        return
    order = COLUMNS if any(row["error"] for row in kept) else COLUMNS[:-1]
    event = st.dataframe(
        pd.DataFrame([{**row, "score": _points(row["score"])} for row in kept]),
        hide_index=True, height=560, column_order=order,
        key=point.table_key(f"points_{hash(tuple(wanted))}"), on_select="rerun",
        selection_mode="single-row",
        column_config={
            "stage": "Stage", "merge": "Merge", "method": "How", "state": "State",
            "score": st.column_config.NumberColumn(
                "Score", format="%.1f", help="Mean over the tasks, on the reported items."
            ),
            "seconds": st.column_config.NumberColumn("Seconds", format="%.0f"),
            "error": "Why it failed",
        },
        alt=f"{len(kept)} merges with their scores",
    )  # fmt: skip
    st.caption(f"{words.plural(len(kept), 'merge')}. Tick a line to open it.")
    chosen = [i for i in event.selection.rows if i < len(kept)]
    if chosen:
        point.ask(kept[chosen[0]]["key"])


def _points(score: float | None) -> float | None:
    return None if score is None else 100 * score
