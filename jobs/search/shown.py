"""What the pages show of a search, read once for each state of it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jobs.search import state, table
from jobs.search.table import WORDS, Held

if TYPE_CHECKING:
    from search.results import SearchResults, Trial

__all__ = [
    "WORDS", "Held", "SearchResults", "Trial", "held_out", "made", "rows", "results", "trial",
]  # fmt: skip


def results(search_id: int) -> SearchResults:
    """Every trial so far, with importances.

    Raises:
        SearchError: there is no such search.
    """
    return _results(search_id, state.version(search_id))


def held_out(search_id: int) -> Held | None:
    """The final table; None before anything was chosen."""
    return _held(search_id, state.version(search_id))


@lru_cache(maxsize=8)
def _results(search_id: int, _version: str) -> SearchResults:
    from search.results import read

    row = state.get(search_id)
    with state.trials(row) as found:
        return read(found, importance=True)


@lru_cache(maxsize=8)
def _held(search_id: int, _version: str) -> Held | None:
    return table.held_out(search_id)


def trial(search_id: int, ref: str) -> Trial | None:
    """A trial by its reference."""
    return results(search_id).trial(ref)


def rows(found: SearchResults) -> list[dict[str, Any]]:
    """Every trial as a row of a table: objectives, then parameters."""
    titles = [one.title for one in found.design.objectives]
    told = []
    for one in found.trials:
        row: dict[str, Any] = {"trial": one.ref, "what": one.title, "state": one.state}
        for place, title in enumerate(titles):
            row[title] = one.values[place] if one.values else None
        if one.state == "pruned" and one.steps:
            row["after first items"] = one.steps[max(one.steps)]
        if one.scale is not None and not one.params:
            row["scale"] = one.scale
        told.append(row | dict(one.params) | ({"error": one.text} if one.text else {}))
    return told


def made(recipe_text: str) -> Any:
    """The merge that a recipe makes, if it is there with its files."""
    from jobs.studies import reuse

    return reuse.made([recipe_text])
