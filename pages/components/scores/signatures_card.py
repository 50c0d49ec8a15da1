"""Signs that a merge went wrong, as plain warnings with examples to read."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from db.queries import signatures as stored
from db.queries.board import Board, Row
from jobs.scores import signs
from jobs.scores.signs import Warning
from pages.components import links
from pages.components.problems import as_text

EXAMPLES = 3
CHARACTERS = 400


def section(found: Sequence[tuple[Board, Row]]) -> None:
    """What a model's scored rows show, suite by suite; nothing for models that are no merges."""
    for board, row in found:
        if row.entry.parents or row.entry.role == "merge":
            _card(board, row, quiet=False)


def of_job(found: Sequence[tuple[Board, Row]]) -> None:
    """The same at the end of a job: only where there is something to warn of."""
    for board, row in found:
        if row.entry.parents or row.entry.role == "merge":
            _card(board, row, quiet=True)


def _card(board: Board, row: Row, *, quiet: bool) -> None:
    told = signs.of_row(board, row)
    if not told and quiet:
        return
    suite = f"{board.suite} · {row.configuration}" if row.configuration else board.suite
    with st.container(border=True, gap="small"):
        if not told:
            st.markdown(
                f":green[:material/check_circle:] **No signs of failure** in the answers to "
                f"{as_text(suite)}.",
                help="Looked for: general skills lost, broken chat format, turns that do not end, "
                "repetition, wrong language, empty answers.",
            )
            return
        st.markdown(f"**Signs of failure in {as_text(row.entry.name)}** · {as_text(suite)}")
        for one in sorted(told, key=lambda one: not one.own):
            _warning(board, row, one)


def _warning(board: Board, row: Row, one: Warning) -> None:
    mark = ":orange[:material/warning:]" if one.own else ":gray[:material/info:]"
    st.markdown(f"{mark} **{one.title}** {as_text(one.text)}", help=as_text(one.rule))
    shown = [(task, item) for task, items in one.items.items() for item in items[:EXAMPLES]]
    shown = sorted(shown, key=lambda each: -len(one.items[each[0]]))[:EXAMPLES]
    if not shown:
        return
    with st.expander(f"Examples of {one.title.lower()}", icon=":material/format_quote:"):
        st.caption(as_text(one.rule))
        for task, item in shown:
            _example(board, row, task, item)


def _example(board: Board, row: Row, task: str, item: int) -> None:
    said = stored.outputs(row.scores[task].evaluation_id, [item]).get(item)
    ids = dict.fromkeys([row.entry.id, *(parent.model_id for parent in row.entry.parents)])
    links.link(
        "compare", f"{task}, item {item}, beside the parents", icon=":material/compare_arrows:",
        ids=",".join(map(str, list(ids)[:6])), suite=board.suite, tab="Answers", task=task,
        item=f"{task}/{item}", filter="all",
    )  # fmt: skip
    if said is not None:
        text = said if len(said) <= CHARACTERS else f"{said[:CHARACTERS]} …"
        st.code(text if text.strip() else "(empty)", language=None, wrap_lines=True)


def marks(board: Board, rows: Sequence[Row]) -> dict[str, list[str]]:
    """`Row.key` -> a word for the leaderboard's column of marks: the merges' own signs."""
    found = {
        key: [one.title.lower() for one in told if one.own]
        for key, told in signs.of_rows(board, rows).items()
    }
    # one mark, not five: the column has room for two
    return {
        key: [f"signs: {titles[0]}" + (f" + {len(titles) - 1} more" if titles[1:] else "")]
        for key, titles in found.items()
        if titles
    }
