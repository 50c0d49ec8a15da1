"""The leaderboard's filters: which rows, in which order. All of it lives in the address."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from db.queries.board import Board, Row
from merging.recipes.patterns import compile_pattern
from pages.components import words

SINCE: Mapping[str, float | None] = {
    "any time": None,
    "last hour": 3600.0,
    "last day": 86_400.0,
    "last week": 7 * 86_400.0,
    "last month": 30 * 86_400.0,
}
ORDERS = ("score", "difference", "mean rank", "name", "newest", "size")


@dataclass(frozen=True)
class Filters:
    """What the user asked to see."""

    text: str = ""
    roles: Sequence[str] = ()
    methods: Sequence[str] = ()
    domains: Sequence[str] = ()
    configurations: Sequence[str] = ()
    since_seconds: float | None = None
    archived: bool = False
    complete: bool = False
    order: str = "score"


def draw(board: Board) -> Filters:
    """The filters, side by side in the container they are called in."""
    text = st.text_input(
        "Search", key="q", help="Plain text or a regular expression, in names, methods, domains "
        "and parents.", type="search", placeholder="Name, method, parent",
        bind="query-params", width=230, live="300ms",
    )  # fmt: skip
    roles = _several("Role", "role", sorted({r.entry.role for r in board.rows}), 170)
    methods = _several(
        "Method", "method", sorted({r.entry.method for r in board.rows if r.entry.method}), 190
    )
    order = st.selectbox(
        "Sort by", [*ORDERS, *board.domains], key="sort", bind="query-params", width=140
    )
    with st.popover("More", icon=":material/tune:"):
        domains = _several(
            "Domain of the model", "domain",
            sorted({r.entry.domain for r in board.rows if r.entry.domain}),
        )  # fmt: skip
        since = st.selectbox("Scored", list(SINCE), key="since", bind="query-params")
        configurations: Sequence[str] = ()
        if len(board.configurations) > 1:
            configurations = _several("Configuration", "config", board.configurations)
        complete = st.toggle(
            "Only complete rows",
            key="complete",
            bind="query-params",
            help="Leave out rows that lack a score on some task of the suite.",
        )
        archived = st.toggle("Show archived models", key="archived", bind="query-params")
    return Filters(
        (text or "").strip(), roles, methods, domains, configurations, SINCE[since],
        archived, complete, order,
    )  # fmt: skip


def _several(
    label: str, key: str, options: Sequence[str], width: int | str = "stretch"
) -> list[str]:
    return st.multiselect(
        label, list(options), key=key, bind="query-params", placeholder="Any", width=width
    )


def clear() -> None:
    """Take every filter back. For a button's callback."""
    st.session_state.update(q="", since="any time", complete=False, archived=False)
    st.session_state.update({key: [] for key in ("role", "method", "domain")})
    if "config" in st.session_state:
        st.session_state.config = []


def matcher(text: str) -> tuple[Callable[[str], bool], bool]:
    """A test of a text, and whether `text` was understood as a pattern.

    What is no valid regular expression is searched as plain text: `merge (2` finds `merge (2)`.
    """
    try:
        found = compile_pattern(text, re.IGNORECASE).search
    except ValueError:  # none, or one that could search for hours
        plain = text.casefold()
        return lambda value: plain in value.casefold(), False
    return lambda value: found(value) is not None, True


def apply(board: Board, filters: Filters, now: float | None = None) -> list[Row]:
    """The rows that the filters keep, not yet ordered."""
    fits, _ = matcher(filters.text)
    since = (
        None
        if filters.since_seconds is None
        else (time.time() if now is None else now) - filters.since_seconds
    )
    return [
        row
        for row in board.rows
        if (filters.archived or not row.entry.archived)
        and (not filters.roles or row.entry.role in filters.roles)
        and (not filters.methods or row.entry.method in filters.methods)
        and (not filters.domains or row.entry.domain in filters.domains)
        and (not filters.configurations or row.configuration in filters.configurations)
        and (since is None or row.scored >= since)
        and (not filters.complete or not row.missing(board.tasks))
        and (not filters.text or any(fits(text) for text in _texts(board, row)))
    ]


def _texts(board: Board, row: Row) -> list[str]:
    parents = [board.entries[p.model_id].name for p in row.entry.parents
               if p.model_id in board.entries]  # fmt: skip
    return [row.entry.name, row.entry.method or "", row.entry.domain or "", *parents]


def ordered(
    board: Board, rows: Sequence[Row], order: str, difference: Callable[[Row], float | None]
) -> list[Row]:
    """The rows, best first; partial rows after complete ones where a mean decides.

    A mean over fewer tasks is another number, so a partial row must not stand above a complete
    one for having skipped the hard tasks.
    """

    def worst_last(value: float | None) -> tuple[bool, float]:
        return (value is None, -(value or 0.0))

    keys: dict[str, Callable[[Row], object]] = {
        "difference": lambda r: worst_last(difference(r)),
        "mean rank": lambda r: (bool(r.missing(board.tasks)), r.mean_rank or 0.0),
        "name": lambda r: r.entry.name.casefold(),
        "newest": lambda r: -r.scored,
        "size": lambda r: worst_last(r.entry.size_bytes),
        **{d: lambda r, d=d: worst_last(r.domains.get(d)) for d in board.domains},
        "score": lambda r: (bool(r.missing(board.tasks)), worst_last(r.macro)),
    }
    by_score = sorted(rows, key=keys["score"])
    return sorted(by_score, key=keys.get(order, keys["score"]))


def notes(board: Board, filters: Filters, shown: int) -> list[str]:
    """What the reader should know about the rows that are (not) there."""
    said = []
    if filters.text and not matcher(filters.text)[1]:
        said.append("The search is not a valid pattern, so it was looked for as plain text.")
    if shown < len(board.rows):
        said.append(f"{shown} of {words.plural(len(board.rows), 'row')} shown.")
    if len(board.configurations) > 1:
        said.append(
            f"{len(board.configurations)} configurations: rows are compared and ranked only "
            "within one, and never averaged together."
        )
    return said
