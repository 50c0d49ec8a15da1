"""Gain and Outperform Gap of a merge over its constituents, task by task, with paired intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from db.queries import answers
from db.queries.board import Board, Row
from db.queries.metrics import is_share
from evaluation.statistics.gain import gain, outperform_gap
from evaluation.statistics.uncertainty import macro_bootstrap, paired_difference
from jobs.scores.comparison import is_mean
from jobs.scores.estimate import Estimate

_Items = Mapping[int, Mapping[tuple[int, str], float]]


@dataclass(frozen=True)
class TaskGain:
    """Gain and OG on one task. `constituents` are scores in the order of `Gains.constituents`.

    Where lower is better both are turned around, so that more is always better.
    """

    task: str
    domain: str
    metric: str
    higher_is_better: bool
    score: float
    constituents: tuple[float, ...]
    best: int
    gain: Estimate
    gap: Estimate

    @property
    def in_means(self) -> bool:
        """A share where more is better: said in points, and averaged."""
        return self.higher_is_better and is_share(self.metric)


@dataclass(frozen=True)
class Gains:
    """Gain and OG of one merge. Macro values are over the tasks that can be averaged, or None."""

    merge: Row
    constituents: tuple[Row, ...]
    unscored: tuple[str, ...]
    """Constituents that have no score under the merge's configuration."""
    tasks: tuple[TaskGain, ...]
    macro_gain: Estimate | None
    macro_gap: Estimate | None


def constituent_ids(row: Row, *, count_base: bool | None = None) -> list[int]:
    """Which parents Gain is taken over.

    The base is what the task vectors start from. It counts as a constituent when the merge has
    only one other parent (base + expert: the recovery stage), and not when experts are combined
    on top of it. `count_base` overrides this.
    """
    parents = row.entry.parents
    others = [p.model_id for p in parents if p.role != "base"]
    counts = len(others) <= 1 if count_base is None else count_base
    return list(dict.fromkeys(p.model_id for p in parents if counts or p.role != "base"))


def gains(board: Board, row: Row, *, count_base: bool | None = None) -> Gains:
    """Gain and OG of a merge on every task that it and all its scored constituents share."""
    ids = constituent_ids(row, count_base=count_base)
    found = {i: board.row_of(i, row.configuration) for i in ids}
    scored = [r for r in found.values() if r is not None and row.common_tasks(r)]
    usable = {r.entry.id for r in scored}
    unscored = tuple(
        board.entries[i].name if i in board.entries else f"model {i}"
        for i in ids
        if i not in usable
    )
    if not scored:
        return Gains(row, (), unscored, (), None, None)
    shared = [t for t in row.scores if all(t in row.common_tasks(r) for r in scored)]
    items = answers.scores_by_item(
        r.scores[t].evaluation_id for r in (row, *scored) for t in shared
    )
    parts = [_task_gain(task, row, scored, items) for task in shared]
    averaged = [part for part in parts if row.scores[part[0].task].in_means]
    return Gains(
        row,
        tuple(scored),
        unscored,
        tuple(part[0] for part in parts),
        _macro([p[0].gain for p in averaged], {p[0].task: p[1] for p in averaged}),
        _macro([p[0].gap for p in averaged], {p[0].task: p[2] for p in averaged}),
    )


def _task_gain(
    task: str, row: Row, constituents: Sequence[Row], items: _Items
) -> tuple[TaskGain, np.ndarray, np.ndarray]:
    mine = row.scores[task]
    sign = 1.0 if mine.higher_is_better else -1.0
    scores = [r.scores[task].goodness for r in constituents]
    best = scores.index(max(scores))
    columns = [items.get(r.scores[task].evaluation_id, {}) for r in (row, *constituents)]
    places = [place for place in columns[0] if all(place in c for c in columns)]
    x = sign * np.array([[c[place] for place in places] for c in columns])  # (1 + k, items)
    over_mean = _estimate(gain(mine.goodness, scores), x[0], x[1:].mean(axis=0))
    over_best = _estimate(outperform_gap(mine.goodness, scores), x[0], x[1 + best])
    if not mine.in_means and not all(
        is_mean(r.scores[task], [column[place] for place in places])
        for r, column in zip((row, *constituents), columns, strict=True)
    ):  # the items' differences are not on the metric's scale
        over_mean, over_best = (Estimate(one.value, None, None) for one in (over_mean, over_best))
    made = TaskGain(
        task, mine.domain, mine.metric, mine.higher_is_better, mine.value,
        tuple(r.scores[task].value for r in constituents), best, over_mean, over_best,
    )  # fmt: skip
    return made, x[0] - x[1:].mean(axis=0), x[0] - x[1 + best]


def _estimate(value: float, ours: np.ndarray, theirs: np.ndarray) -> Estimate:
    if not ours.size:
        return Estimate(value, None, None)
    test = paired_difference(ours, theirs)
    return Estimate(value, test.low, test.high)


def _macro(parts: Sequence[Estimate], items: Mapping[str, np.ndarray]) -> Estimate | None:
    if not parts:
        return None
    value = sum(part.value for part in parts) / len(parts)
    if any(not differences.size for differences in items.values()):
        return Estimate(value, None, None)
    interval = macro_bootstrap(items)
    return Estimate(value, interval.low, interval.high)
