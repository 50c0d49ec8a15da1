"""Scores for choosing and scores for reporting: parts of a suite by name, and the best of many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from db.queries import answers
from db.queries.board import Board, Row
from evaluation.holdout import Part, part
from evaluation.statistics.selection import Selection, selection_bias
from jobs.errors import JobError
from jobs.running.groups import benchmark

__all__ = [
    "Part", "Selection", "candidates", "held_out_row", "named", "part_of", "score_held_out",
    "selection",
]  # fmt: skip

MOST_MODELS = 60  # more candidates than these do not become the best: those on top are looked at
MOST_ANSWERS = 120_000


def named(name: str = "all", seed: int = 1, share: float = 0.5) -> Part | None:
    """The part of a split by name; None for all items.

    Raises:
        SuiteError: an unknown name or a share that leaves a part empty.
    """
    return part(name, seed, share)


def part_of(row: Row) -> Part | None:
    """The part of the items that a row's scores are of; None for all of them."""
    return named(row.part, *row.split) if row.split else None


def candidates(board: Board, rows: Sequence[Row]) -> list[list[Row]]:
    """The merges among some rows that compete on the same items, group by group.

    Only groups of two or more; those on a search part first, then the largest. Scores that are
    held out, or came from elsewhere, are nobody's ground for choosing.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        can_win = row.part != "held-out" and row.imported is None and not row.missing(board.tasks)
        if row.entry.role == "merge" and can_win:
            groups.setdefault(row.configuration, []).append(row)
    found = [group for group in groups.values() if len(group) > 1]
    return sorted(found, key=lambda group: (group[0].part != "search", -len(group)))


def selection(rows: Sequence[Row]) -> tuple[Row, Selection] | None:
    """The best of some rows and how much it is flattered; None for fewer than two.

    All rows must have the same tasks under the same configuration (`candidates`).
    """
    ranked = sorted(rows, key=lambda row: -(row.macro or 0.0))
    if len(ranked) < 2:
        return None
    most = min(MOST_MODELS, max(2, MOST_ANSWERS // max(1, ranked[0].n_items)))
    looked = ranked[:most]
    first = looked[0]
    tasks = [t for t in first.averaged if all(t in first.common_averaged(r) for r in looked[1:])]
    items = answers.scores_by_item(r.scores[t].evaluation_id for r in looked for t in tasks)
    scores = {}
    for task in tasks:
        columns = [items.get(row.scores[task].evaluation_id, {}) for row in looked]
        places = sorted(set.intersection(*(set(column) for column in columns)))
        if places:
            scores[task] = np.array([[column[place] for place in places] for column in columns])
    if not scores:
        return None
    found = selection_bias(scores)
    return looked[found.best], Selection(found.best, found.score, found.bias, len(rows),
                                         found.items)  # fmt: skip


def held_out_row(board: Board, row: Row) -> Row | None:
    """The model's scores on the held-out part of the split that the row's search part is of."""
    return next(
        (
            other
            for other in board.rows_of(row.entry.id)
            if other.part == "held-out"
            and (other.split, other.limit, other.fingerprint)
            == (row.split, row.limit, row.fingerprint)
        ),
        None,
    )


def score_held_out(board: Board, row: Row) -> str:
    """Score a model, and its parents, on the items that were kept back; return the group.

    Raises:
        JobError: the row's scores are of all items, so none were kept back.
        SuiteError, ModelError: the suite or the model is not there any more.
    """
    searched = part_of(row)
    if searched is None or searched.name != "search":
        raise JobError(f"“{row.entry.name}” was scored on all items, so none were held out.")
    parents = [parent.entry.name for parent in board.parent_rows(row)]
    return benchmark([row.entry.name, *parents], board.suite, limit=row.limit, part=searched.other)
