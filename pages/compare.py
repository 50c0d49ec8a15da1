"""Compare: two to six models side by side, down to the single answer."""

from __future__ import annotations

import streamlit as st

from db.queries.board import Board, Row
from pages.components import example, links, presses
from pages.components.problems import as_text
from pages.components.scores import choice as scores_choice
from pages.components.scores import cost as scores_cost
from pages.components.scores import differences as scores_differences
from pages.components.scores import gains as scores_gains
from pages.components.scores import picks as scores_picks
from pages.components.scores import recipes as scores_recipes
from pages.components.scores import sheet as scores_sheet
from pages.components.scores import suites as scores_suites
from pages.components.scores.picks import Comparison

TABS = {
    "Scores": scores_differences.draw,
    "Gain and OG": scores_gains.draw,
    "Recipes": scores_recipes.draw,
    "Answers": scores_sheet.draw,
    "Cost": scores_cost.draw,
}


def page() -> None:
    """The whole page, top to bottom."""
    st.title("Compare")
    # columns, because they stack on a narrow screen: in a row, the pickers squeezed each other
    left, right = st.columns([2, 7], vertical_alignment="bottom")
    with left:
        board = scores_suites.pick()
    if board is None:
        empty()
        return
    with right:
        ids, unknown = scores_picks.pick_models(board)
    configuration = scores_picks.pick_configuration(board, ids)
    for token in unknown:
        st.warning(
            f"There is no model {as_text(token)}: it was deleted, or the address is mistyped.",
            icon=":material/help:",
        )
    if not ids:
        suggest(board)
        return
    rows, absent = scores_picks.rows_under(board, ids, configuration)
    for name, elsewhere in absent:
        where = f" It was scored under: {', '.join(elsewhere)}." if elsewhere else ""
        st.warning(
            f"**{as_text(name)}** has no scores on this suite under “{as_text(configuration)}”, "
            f"so it is left out of the numbers.{as_text(where)}",
            icon=":material/rule:",
        )
    if not rows:
        return
    draw(board, ids, rows)


def empty() -> None:
    """Nothing was ever scored."""
    st.info("Nothing has been scored yet, so there is nothing to compare.",
            icon=":material/compare_arrows:")  # fmt: skip
    with st.container(horizontal=True):
        example.button("example")
        links.link("build", "Build a merge", icon=":material/science:")


def suggest(board: Board) -> None:
    """No models were chosen: offer the comparison most people come for."""
    merges = [r for r in board.rows if board.parent_rows(r) and not r.missing(board.tasks)]
    st.info("Choose two to six models above, or tick rows on the leaderboard.",
            icon=":material/compare_arrows:")  # fmt: skip
    if merges:
        best = max(merges, key=lambda row: row.macro or 0.0)
        ids = [best.entry.id, *(p.entry.id for p in board.parent_rows(best))]
        if presses.button(
            "Show the best merge beside its parents", key="compare_best", type="primary",
            icon=":material/science:",
        ):  # fmt: skip
            scores_picks.show(ids[: scores_picks.MOST])


def draw(board: Board, ids: list[int], rows: list[Row]) -> None:
    """The chosen models: headline numbers, then one tab per question."""
    baseline, focus = scores_picks.pick_sides(board, rows)
    comparison = Comparison(board, tuple(ids), tuple(rows), baseline, focus)
    scores_picks.offer_parent(board, ids, scores_picks.default_focus(board, rows))
    if len(rows) < 2:
        st.info("One model is scored here; add another to compare it with.",
                icon=":material/add:")  # fmt: skip
    scores_differences.headlines(comparison)
    scores_picks.warn(comparison)
    scores_choice.draw(board, rows, "compare")
    for tab, body in zip(
        st.tabs(list(TABS), key="tab", bind="query-params"), TABS.values(), strict=True
    ):
        if tab.open:  # the others' work is not done until somebody looks
            with tab:
                body(comparison)


page()
