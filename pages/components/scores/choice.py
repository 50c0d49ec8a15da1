"""Whoever picks the best of several merges is told how much of its score is luck."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from db.queries.board import Board, Row
from jobs.scores import parts
from jobs.scores.parts import Selection
from pages.components import links, presses, problems
from pages.components.problems import as_text
from pages.components.scores.words import POINTS, points

LEAST_POINTS = 0.05
MOST_GROUPS = 2


def draw(board: Board, rows: Sequence[Row], key: str) -> None:
    """A line on the best of the merges among some rows; nothing for fewer than two."""
    groups = parts.candidates(board, rows)[:MOST_GROUPS]
    for number, group in enumerate(groups):
        found = parts_of([row.key for row in group], board.revision, group)
        if found is None:
            continue
        best = next(row for row in group if row.key == found[0])
        st.caption(f":material/casino: {_line(best, found[1])}")
        if best.part == "search":
            _held_out(board, best, f"{key}_{number}")
    if groups and groups[0][0].part != "search":
        st.caption(
            "No items were held out: all of them were used to choose. Score merges on the search "
            "part first (Build, *Which items*), and the held-out part can tell what the best is "
            "worth."
        )


@st.cache_data(max_entries=32, show_spinner=False)
def parts_of(
    keys: Sequence[str], revision: int, _rows: Sequence[Row]
) -> tuple[str, Selection] | None:
    """Key of the best row and what choosing it adds, kept while the scores stay the same."""
    found = parts.selection(_rows)
    return None if found is None else (found[0].key, found[1])


def _line(best: Row, found: Selection) -> str:
    on = "the search items" if best.part == "search" else "the same items"
    who = f"**{as_text(best.entry.name)}** is the best of {found.models} merges on {on}"
    how = f"(bootstrap of the maximum over {found.items:,} items)"
    if found.bias * POINTS < LEAST_POINTS:
        return f"{who}, by so much that choosing it flatters it by under 0.1 points {how}."
    return (
        f"{who}, so its score is flattered: about {found.bias * POINTS:.1f} of its "
        f"{found.score * POINTS:.1f} points are luck of the choice {how}."
    )


def _held_out(board: Board, best: Row, key: str) -> None:
    """What the held-out items say of it, or how they can be asked."""
    name = as_text(best.entry.name)
    held = parts.held_out_row(board, best)
    if held is not None:
        error = held.macro_stderr
        beside = "" if error is None else f" ± {error * POINTS:.1f}"
        st.caption(f"On the held-out items {name} has **{points(held.macro)}**{beside} points "
                   f"({points(best.macro)} on the search items).")  # fmt: skip
        return
    if presses.button(
        "Score the best on held-out items", icon=":material/verified:", key=f"held_out_{key}",
        help=f"Scores {name} and its parents on the part of every task that nobody chose by.",
    ):  # fmt: skip
        with problems.told():
            links.go("job", group=parts.score_held_out(board, best))
