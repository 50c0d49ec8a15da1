"""Leaderboard: every model's scores on a suite, with what they are worth."""

from __future__ import annotations

import json
from typing import NoReturn

import pandas as pd
import streamlit as st

from db.queries.board import Board, Row
from jobs.scores import comparison
from pages.components import example, links, presses, words
from pages.components.scores import choice as scores_choice
from pages.components.scores import exchange as scores_exchange
from pages.components.scores import filters as scores_filters
from pages.components.scores import plots as scores_plots
from pages.components.scores import suites as scores_suites
from pages.components.scores import table as scores_table
from pages.components.scores.filters import Filters
from pages.components.scores.table import Line

BEST_PARENT = "each merge's best parent"
MOST_COMPARED = 6
BARS = 20
ROWS_AT_ONCE = 14
ROW_PIXELS = 33


def page() -> None:
    """The whole page, top to bottom."""
    st.title("Leaderboard")
    come_back()
    scores_exchange.tell_imported()
    head = st.container(horizontal=True, vertical_alignment="bottom")
    with head:
        board = scores_suites.pick()
    if board is None:
        empty()
        return
    with head:
        baseline = pick_baseline(board)
        actions = st.container(horizontal=True, vertical_alignment="bottom", width="stretch")
    filters, chosen, tasks = controls(board)
    kept = scores_filters.apply(board, filters)
    rows = scores_filters.ordered(
        board, kept, filters.order, lambda row: plain_difference(board, row, baseline)
    )
    if notes := scores_filters.notes(board, filters, len(rows)):
        st.caption(" ".join(notes))
    if not rows:
        st.info("No model fits these filters.", icon=":material/filter_alt_off:")
        st.button("Clear filters", on_click=scores_filters.clear)
        return
    lines = make_lines(board, rows, baseline)
    picked = table(board, lines, baseline, chosen, tasks)
    with actions:
        compare_button(board, picked)
        scores_exchange.importer()
        export(board, lines, picked)
    scores_choice.draw(board, rows, "board")
    legend(lines)
    chart(board, rows)


def controls(board: Board) -> tuple[Filters, list[str], list[str]]:
    """Filters, and which columns to show, in one line."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        filters = scores_filters.draw(board)
        chosen, tasks = pick_columns(board)
    return filters, chosen, tasks


def leave(name: str, **parameters: str | int) -> NoReturn:
    """Go to another page, remembering this page's address."""
    address = {key: st.query_params.get_all(key) for key in st.query_params}
    st.session_state.leaderboard_left = address
    links.go(name, **parameters)


def come_back() -> None:
    """Mend the address after the browser's Back.

    When a page switches to another, Streamlit writes the other's parameters over this page's
    entry in the browser's history: without this, Back would lose filters and ticks.
    """
    left = st.session_state.pop("leaderboard_left", None)
    if left is not None and any(key in st.query_params for key in ("ids", "id", "from")):
        st.switch_page(links.path("leaderboard"), query_params=left)


def empty() -> None:
    """Nothing was ever scored: one button that changes this."""
    st.info(
        "Nothing has been scored yet. Merge and benchmark something, and its scores appear here "
        "beside its parents'.",
        icon=":material/leaderboard:",
    )
    with st.container(horizontal=True):
        example.button("example")
        links.link("build", "Build a merge", icon=":material/science:")
        scores_exchange.importer()


def pick_baseline(board: Board) -> str:
    """What the differences are taken against."""
    names = sorted({row.entry.name for row in board.rows}, key=str.casefold)
    return st.selectbox(
        "Differences against", [BEST_PARENT, *names], key="baseline", bind="query-params", width=270
    )


def baseline_row(board: Board, row: Row, baseline: str) -> Row | None:
    """The row that `row` is held against: under the same configuration, or none."""
    if baseline == BEST_PARENT:
        return board.best_parent(row)
    for other in board.rows:
        if other.entry.name == baseline and other.configuration == row.configuration:
            return board.row_of(other.entry.id, row.configuration)
    return None


def plain_difference(board: Board, row: Row, baseline: str) -> float | None:
    """The difference without its interval, for sorting."""
    other = baseline_row(board, row, baseline)
    return row.difference(other) if other is not None else None


def make_lines(board: Board, rows: list[Row], baseline: str) -> list[Line]:
    """The rows with their baselines and differences, intervals included."""
    others = [baseline_row(board, row, baseline) for row in rows]
    pairs = [(r, o) for r, o in zip(rows, others, strict=True) if o is not None and o is not r]
    found = iter(comparison.macro_differences(pairs))
    return [
        Line(row, other, next(found) if other is not None and other is not row else None)
        for row, other in zip(rows, others, strict=True)
    ]


def table(
    board: Board, lines: list[Line], baseline: str, chosen: list[str], tasks: list[str]
) -> list[str]:
    """The table; returns the tokens of the picked rows, those filtered away included."""
    data = scores_table.frame(board, lines, tasks)
    tokens = row_tokens(board, lines)
    picked = [t for t in st.query_params.get("pick", "").split(",") if t]
    places = [i for i, token in enumerate(tokens) if token in picked]
    against = "its best parent" if baseline == BEST_PARENT else baseline
    event = st.dataframe(
        data,
        # A new order is a new table: positions picked in the old one would mean other models.
        key=f"board-{hash(tuple(tokens))}",
        hide_index=True,
        height="content" if len(lines) <= ROWS_AT_ONCE else ROW_PIXELS * (ROWS_AT_ONCE + 1),
        column_order=scores_table.shown_columns(board, chosen, tasks),
        column_config=scores_table.column_config(board, data, against),
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": places}},
        placeholder="–",
        alt=f"Scores of {len(lines)} models on the suite {board.suite}",
    )
    act(lines)
    visible = [tokens[i] for i in event.selection.rows if i < len(tokens)]
    now = [*visible, *(t for t in picked if t not in tokens)]
    if set(now) != set(picked):
        remember("pick", ",".join(now))
    return now


def pick_columns(board: Board) -> tuple[list[str], list[str]]:
    """Which optional columns and which single tasks to show."""
    with st.popover("Columns", icon=":material/view_column:"):
        chosen = st.multiselect(
            "Columns", scores_table.COLUMNS, default=scores_table.DEFAULT_COLUMNS, key="columns",
            bind="query-params",
        )  # fmt: skip
        tasks = st.multiselect(
            "Tasks", list(board.tasks), key="tasks", bind="query-params",
            placeholder="None; choose tasks to see alone",
        )  # fmt: skip
    return chosen, tasks


def row_tokens(board: Board, lines: list[Line]) -> list[str]:
    """Names of the rows for the address: `7`, or `7.2` for a model's second row."""
    return [
        f"{line.row.entry.id}" + (f".{place + 1}" if place else "")
        for line in lines
        for place in [board.rows_of(line.row.entry.id).index(line.row)]
    ]


def remember(name: str, value: str) -> None:
    """Keep a value in the address, or nothing of it when it is empty."""
    if value:
        st.query_params[name] = value
    else:
        st.query_params.pop(name, None)


def act(lines: list[Line]) -> None:
    """Follow a click on a row's menu."""
    click = st.session_state.get("row_action")
    if not click or click["row"] >= len(lines):
        return
    model_id = lines[click["row"]].row.entry.id
    if click["label"] == scores_table.CLONE:
        leave("build", **{"from": model_id})
    leave("model", id=model_id)


def compare_button(board: Board, picked: list[str]) -> None:
    """Opens the Compare page with the picked rows."""
    ids = list(dict.fromkeys(token.split(".")[0] for token in picked))
    fits = 2 <= len(ids) <= MOST_COMPARED
    label = f"Compare {len(ids)} models" if ids else "Compare"
    if presses.button(
        label, type="primary", icon=":material/compare_arrows:", disabled=not fits,
        help=None if fits else f"Tick two to {MOST_COMPARED} rows of the table.", key="compare",
    ):  # fmt: skip
        leave("compare", ids=",".join(ids), suite=board.suite)
    if picked:
        st.button("Clear ticks", key="clear_picks", on_click=remember, args=("pick", ""))


def export(board: Board, lines: list[Line], picked: list[str]) -> None:
    """The rows as shown, and the ticked rows (without ticks, those shown) for other programs."""
    with st.popover("Export", icon=":material/download:"):
        name = f"leaderboard-{board.suite}"
        st.download_button(
            "Table, CSV",
            lambda: pd.DataFrame(scores_table.export(board, lines)).to_csv(index=False),
            f"{name}.csv", "text/csv", on_click="ignore", width="stretch",
        )  # fmt: skip
        st.download_button(
            "Table, JSON", lambda: json.dumps(scores_table.export(board, lines), indent=1),
            f"{name}.json", "application/json", on_click="ignore", width="stretch",
        )  # fmt: skip
        tokens = row_tokens(board, lines)
        ticked = [x.row for x, token in zip(lines, tokens, strict=True) if token in picked]
        shown = [line.row for line in lines]
        st.caption(f"{words.plural(len(ticked or shown), 'row')} "
                   + ("ticked:" if ticked else "shown:"))  # fmt: skip
        scores_exchange.exporters(board, ticked or shown, "board")


def legend(lines: list[Line]) -> None:
    """What the numbers mean, once, under the table."""
    unpaired = sum(1 for x in lines if x.difference is not None and not x.difference.paired)
    text = (
        "Score: mean over tasks ± standard error, in points. Δ: against the baseline on the tasks "
        "both have under the same settings; **noise** when its 95 % interval, from paired answers "
        "to the same items, holds zero."
    )
    if unpaired:
        text += (
            f" {words.plural(unpaired, 'row')} use the wider interval of independent scores "
            "(too many answers to pair at once, or none kept): filter or redraw to see more "
            "paired."
        )
    st.caption(text + " Not corrected for looking at many rows; Compare is, over tasks.")


def chart(board: Board, rows: list[Row]) -> None:
    """Bars with intervals for the rows on top."""
    top = rows[:BARS]
    st.subheader("Scores with intervals", anchor=False)
    if len(rows) > len(top):
        st.caption(f"The first {len(top)} rows of the table.")
    st.plotly_chart(
        scores_plots.bars(board, top),
        key="bars",
        config=scores_plots.CONFIG,
        alt=f"Scores of {len(top)} models; {top[0].entry.name} is first in the chosen order",
    )


page()
