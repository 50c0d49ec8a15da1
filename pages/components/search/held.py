"""The final table: the best of a search beside what was known, on held-out items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from jobs.search import shown
from pages.components import problems
from pages.components.search import trial

if TYPE_CHECKING:
    from jobs.search.shown import Held

VERDICTS = {"better": ("green", "trending_up"), "worse": ("red", "trending_down")}


def draw(search_id: int, live: bool) -> None:
    """Draw it, or say when it comes."""
    held = shown.held_out(search_id)
    if held is None or not held.lines:
        st.info("The final table is here when there are enough trials: the best of them, beside "
                "the best known point and the best parent, on items that chose none of them.",
                icon=":material/hourglass:")  # fmt: skip
        return
    st.subheader("On held-out items", anchor=False)
    for one in held.against:
        color, icon = VERDICTS.get(one.verdict.split(",")[0], ("gray", "help"))
        unsure = one.low is None or one.high is None or one.same
        span = "" if unsure else (
            f", 95 % interval {_signed(one.low)} to {_signed(one.high)}")  # fmt: skip
        st.markdown(
            f":{color}-badge[:material/{icon}: {one.verdict}] The best of the search is "
            f"**{_signed(one.difference)}** points over the {shown.WORDS[one.kind]}, "
            f"{problems.as_text(one.label)}{span}."
        )
    rows = [_row(held, line) for line in held.lines]
    event = st.dataframe(
        pd.DataFrame(rows), hide_index=True, key=trial.table_key("held"), on_select="rerun",
        selection_mode="single-row",
        column_config={"Search items": st.column_config.NumberColumn(
            format="%.1f", help="Of the objective that chose, on the items it was chosen by: "
            "flattered for whoever was picked from many.")},
        alt="The best trials, the best known point and the best parent on held-out items",
    )  # fmt: skip
    chose = problems.as_text(held.objectives[held.deciding])
    st.caption(f"Points of a hundred with 95 % intervals, on {held.lines[0].items:,} held-out items"
               f"; chosen on the others by the {chose}, from {held.trials:,} trials. "
               "Tick a line to open it.")  # fmt: skip
    if live:
        st.caption("More trials are on their way: the table is made anew at their end.")
    if held.missing:
        names = problems.as_text(", ".join(held.missing))
        st.warning(f"Not scored on all held-out tasks yet: {names}.", icon=":material/hourglass:")
    chosen = [i for i in event.selection.rows if i < len(held.lines)]
    if chosen and held.lines[chosen[0]].ref is not None:
        trial.ask(str(held.lines[chosen[0]].ref))


def _row(held: Held, line: Any) -> dict[str, object]:
    row: dict[str, object] = {"What": shown.WORDS[line.kind], "Merge or model": line.label}
    for title, kind, cell in zip(held.objectives, held.objective_kinds, line.cells, strict=True):
        if cell.value is None:
            row[title] = "—"
        elif kind == "change":
            row[title] = f"{cell.value:.4f}"
        else:
            span = "" if cell.low is None else f" [{100 * cell.low:.1f}, {100 * cell.high:.1f}]"
            row[title] = f"{100 * cell.value:.1f}{span}"
    row["Search items"] = None if line.search is None else 100 * line.search
    return row


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")
