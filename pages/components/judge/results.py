"""What judges said: a table and a radar chart of the categories, then every answer to read."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from db.queries.judging import JudgingRow
from jobs.terminal import judge as terminal_judge
from pages.components import links, words
from pages.components.judge import items as judge_items
from pages.components.judge import radar as judge_radar
from pages.components.problems import as_text
from pages.components.scores.plots import CONFIG

MODES = {"single": "Grades, 1 to 10", "pair": "Pairs"}
MOST_IN_A_CHART = 6


def draw(found: Sequence[JudgingRow]) -> None:
    """Pick a set and a judge, see the models side by side, open one of them."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        names = list(dict.fromkeys(row.set_name for row in found))
        name = st.selectbox("Questions", names, key="set", bind="query-params", width=240)
        of_set = [row for row in found if row.set_name == name]
        modes = [mode for mode in MODES if any(row.mode == mode for row in of_set)]
        mode = st.segmented_control(
            "Kind", modes, key="mode", default=modes[0], required=True,
            format_func=lambda each: MODES[each],
        )  # fmt: skip
    shown = [row for row in of_set if row.mode == mode]
    if shown and shown[0].selection == "forbidden":
        st.warning(
            "**For reporting only.** The authors of this set forbid choosing merges by it: use "
            "these numbers to report on a finished merge, never to pick one.",
            icon=":material/block:",
        )
    for measure in dict.fromkeys(row.measure for row in shown):
        _side_by_side([row for row in shown if row.measure == measure])
    if shown:
        _one(shown)


def _side_by_side(rows: Sequence[JudgingRow]) -> None:
    """Reports that one judge made with one rubric: only these may be compared."""
    first = rows[0]
    limit = first.config.get("limit")
    some = f" · first {limit} questions per category" if limit else ""
    st.subheader(as_text(f"Judged by {first.judge}"), anchor=False)
    st.caption(as_text(f"Rubric {first.rubric}{some} · {words.plural(len(rows), 'report')}"))
    table, chart = st.columns([3, 2])
    with table:
        st.dataframe(
            judge_radar.frame(rows), hide_index=True,
            alt=f"{MODES[first.mode]} of {words.plural(len(rows), 'report')} by category",
            column_config=_columns(first),
        )  # fmt: skip
    with chart:
        if len(first.summary["categories"]) > 2:
            st.plotly_chart(
                judge_radar.radar(rows[:MOST_IN_A_CHART]), config=CONFIG,
                key=f"radar-{'-'.join(str(row.id) for row in rows)}",
                alt="The table's categories as a radar chart",
            )  # fmt: skip


def _columns(first: JudgingRow) -> dict[str, object]:
    number = st.column_config.NumberColumn
    whole = {name: number(format="%.0f") for name in ("Wins", "Ties", "Losses", "No grade", "n")}
    form = "%.2f" if first.mode == "single" else "%.0f"
    shares = {name: number(format=form) for name in first.summary["categories"]}
    return {
        **shares,
        **whole,
        "Grade": number(format="%.2f", help="Mean of the grades, 1 to 10."),
        "±": number(format="%.2f", help="Standard error, clustered by conversation."),
        "Win rate %": number(format="%.0f", help="Ties count as half."),
        "Length alone %": number(
            format="%.0f",
            help="Win rate that a judge would give who always prefers the longer answer.",
        ),
        "Flips %": number(
            format="%.0f", help="Pairs whose verdict changed with the order; they count as ties."
        ),
        "Characters": number(format="%.0f", help="Mean length of the replies."),
    }


def _one(rows: Sequence[JudgingRow]) -> None:
    """One report with every answer."""
    labels = {row.id: _label(row) for row in rows}
    asked = links.as_number(st.query_params.get("report", ""))
    if "judge_report" not in st.session_state and asked in labels:
        st.session_state.judge_report = asked
    chosen = st.selectbox("Read a report", list(labels), key="judge_report",
                          format_func=lambda number: labels[number])  # fmt: skip
    st.query_params["report"] = str(chosen)
    row = next(each for each in rows if each.id == chosen)
    for note in terminal_judge.notes(row):
        st.caption(as_text(note))
    judge_items.draw(row)


def _label(row: JudgingRow) -> str:
    beside = f" against {row.other}" if row.other else ""
    return f"{row.model}{beside} · {row.judge} · {words.ago(row.created)}"
