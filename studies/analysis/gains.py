"""Gain and Outperform Gap of every merge on every task, with what noise allows them.

Gain = score - mean of the constituents; OG = score - best constituent (arXiv:2511.02451; the
definitions are those of `evaluation.statistics.gain`, turned where lower is better). Intervals are
paired by item: both sides answered the same ones.

The best constituent is picked by its score, and picking flatters: on the items that it is picked
on, the best of several owes part of its lead to luck, so OG comes out too low. With a split it is
therefore picked on the search items of the task and OG is taken on the held-out ones; what is
picked may then not be the best there, and OG is never too low. `gap_same` is the paper's form,
picked and taken on the reported items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from studies.analysis.intervals import (
    Estimates,
    mcnemar,
    plain,
    sums,
    variance_of,
    wald,
)
from studies.results import Floats, Results, Scored, Task

NAMES = ("gain", "gap", "lead")


@dataclass(frozen=True, eq=False)
class Gains:
    """Gain and OG of P merges on T tasks.

    Attributes:
        points: the merges that have all their constituents scored, `P`.
        tasks: `T`, all of the study's.
        constituents: `P` tuples of keys.
        gain: `(P, T)`.
        gap: `(P, T)`, OG over the constituent `best`.
        gap_same: `(P, T)`, OG over whichever constituent is best on the reported items.
        best: `(P, T)`, place of that constituent in `constituents[p]`; -1 where not known.
        n: `(P, T)`, items compared.
        macro_gain: `(P,)`, Macro-Gain: the mean of Gain over the shared tasks.
        macro_gap: `(P,)`, Macro-OG; the best constituent is another one in every task.
        lead: `(P,)`, mean score - that of the one constituent with the best mean score.
        best_chosen_on: "search" items where there is a split, else the "reported" ones.
        skipped: key of a scored point -> which constituents it lacks.
    """

    points: tuple[Scored, ...]
    tasks: tuple[Task, ...]
    constituents: tuple[tuple[str, ...], ...]
    gain: Estimates
    gap: Estimates
    gap_same: Floats
    best: NDArray[np.int64]
    n: NDArray[np.int64]
    macro_gain: Estimates
    macro_gap: Estimates
    lead: Estimates
    best_chosen_on: Literal["search", "reported"]
    skipped: Mapping[str, str]

    def shown(
        self, points: Sequence[int] | None = None, tasks: Sequence[int] | None = None
    ) -> Gains:
        """A part of the table; Holm's correction is over what is shown. Macros stay those of all.

        Args:
            points: places of merges; default all.
            tasks: places of tasks; default all.
        """
        p = np.arange(len(self.points)) if points is None else np.asarray(points, dtype=np.int64)
        t = np.arange(len(self.tasks)) if tasks is None else np.asarray(tasks, dtype=np.int64)
        cut = np.ix_(p, t)
        return replace(
            self,
            points=tuple(self.points[i] for i in p),
            tasks=tuple(self.tasks[i] for i in t),
            constituents=tuple(self.constituents[i] for i in p),
            gain=self.gain.at(*cut),
            gap=self.gap.at(*cut),
            gap_same=self.gap_same[cut],
            best=self.best[cut],
            n=self.n[cut],
            macro_gain=self.macro_gain.at(p),
            macro_gap=self.macro_gap.at(p),
            lead=self.lead.at(p),
        )

    def table(self) -> list[dict[str, Any]]:
        """A row for every merge and task."""
        rows = []
        for i, one in enumerate(self.points):
            for j, task in enumerate(self.tasks):
                best = int(self.best[i, j])
                rows.append(
                    _who(one)
                    | {"task": task.name, "domain": task.domain, "n": int(self.n[i, j])}
                    | self.gain.row((i, j), "gain_")
                    | self.gap.row((i, j), "og_")
                    | {
                        "og_same_items": plain(self.gap_same[i, j]),
                        "best_constituent": self.constituents[i][best] if best >= 0 else None,
                        "best_chosen_on": self.best_chosen_on,
                    }
                )
        return rows

    def macro_table(self) -> list[dict[str, Any]]:
        """A row for every merge."""
        return [
            _who(one)
            | self.macro_gain.row(i, "macro_gain_")
            | self.macro_gap.row(i, "macro_og_")
            | self.lead.row(i, "lead_")
            for i, one in enumerate(self.points)
        ]

    def data(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {"tasks": self.table(), "macro": self.macro_table(), "skipped": dict(self.skipped),
                "best_chosen_on": self.best_chosen_on}  # fmt: skip


def _who(one: Scored) -> dict[str, Any]:
    point = one.point
    return {
        "key": one.key,
        "merge": one.label,
        "stage": None if point is None else str(point.stage),
        "method": None if point is None else point.method,
    }


def gains(results: Results) -> Gains:
    """Gain and OG of every scored point whose constituents are all scored."""
    members: dict[tuple[str, ...], list[int]] = {}
    skipped: dict[str, str] = {}
    for one in results.points:
        if one.point is None:
            continue
        keys = results.constituent_keys(one.point)
        missing = [key for key in keys if key not in results.row]
        if missing:
            skipped[one.key] = f"not scored: {', '.join(missing)}"
        else:
            members.setdefault(keys, []).append(results.row[one.key])
    rows = sorted(row for some in members.values() for row in some)
    table = _Table(results, rows)
    for keys, some in members.items():
        table.fill(keys, np.array(some))
    return table.made(skipped)


class _Table:
    """The arrays while they are filled, a group of equal constituents at a time."""

    def __init__(self, results: Results, rows: Sequence[int]) -> None:
        self.results = results
        self.rows = np.array(rows, dtype=np.int64)
        self.place = {row: i for i, row in enumerate(rows)}
        shape = (len(rows), len(results.tasks))
        names = [name + end for name in NAMES for end in ("", " centre", " variance")]
        self.of: dict[str, Floats] = {
            name: np.full(shape, np.nan) for name in (*names, "gap p", "same")
        }
        self.best = np.full(shape, -1, dtype=np.int64)
        self.n = np.zeros(shape, dtype=np.int64)
        self.keys: list[tuple[str, ...]] = [()] * len(rows)

    def fill(self, keys: tuple[str, ...], rows: NDArray[np.int64]) -> None:
        at = np.array([self.place[row] for row in rows])
        parents = np.array([self.results.row[key] for key in keys])
        for i in at:
            self.keys[i] = keys
        macros = self.results.macros("search")[parents]
        leader = int(np.nanargmax(macros)) if np.isfinite(macros).any() else 0
        for column, task in enumerate(self.results.tasks):
            self._task(at, rows, parents, leader, column, task)

    def _task(
        self,
        at: NDArray[np.int64],
        rows: NDArray[np.int64],
        parents: NDArray[np.int64],
        leader: int,
        column: int,
        task: Task,
    ) -> None:
        sign = 1.0 if task.higher_is_better else -1.0
        search = sign * self.results.scores("search")[parents, column]
        report = sign * self.results.scores("report")[:, column]
        if not np.isfinite(report[parents]).all():
            return
        best = int(np.argmax(np.where(np.isfinite(search), search, report[parents])))
        self.best[at, column] = best
        self.of["same"][at, column] = report[rows] - report[parents].max()
        # each side as weights of the parents: their mean, the task's best, the best of all tasks
        sides = np.stack(
            [np.full(len(parents), 1 / len(parents)), *np.eye(len(parents))[[best, leader]]]
        )
        for name, weights in zip(NAMES, sides, strict=True):
            self.of[name][at, column] = report[rows] - weights @ report[parents]
        if not task.by_item:
            self._by_error(at, rows, parents, sides, column, task)
            return
        x = self.results.items(task.name)[:, task.mask("report")]
        mine, theirs = x[rows], sides @ x[parents]
        for name, other in zip(NAMES, theirs.astype(np.float32), strict=True):
            if name == "lead" and leader == best:
                for end in (" centre", " variance"):
                    self.of["lead" + end][at, column] = self.of["gap" + end][at, column]
                continue
            differences = sign * (mine - other)
            n, total, squares = sums(differences)
            self.n[at, column] = n
            self.of[f"{name} centre"][at, column] = total / (n + 2)
            self.of[f"{name} variance"][at, column] = variance_of(n, total, squares)
            if name == "gap" and task.binary:
                wins, losses = (differences > 0).sum(axis=1), (differences < 0).sum(axis=1)
                self.of["gap p"][at, column] = mcnemar(wins, losses)

    def _by_error(
        self,
        at: NDArray[np.int64],
        rows: NDArray[np.int64],
        parents: NDArray[np.int64],
        sides: Floats,
        column: int,
        task: Task,
    ) -> None:
        """Metrics that are no means: independent standard errors, which is cautious."""
        errors = [one.stderrs.get(task.name, np.nan) for one in self.results.models]
        square = np.square(np.array(errors))
        self.n[at, column] = task.n
        for name, weights in zip(NAMES, sides, strict=True):
            self.of[f"{name} centre"][at, column] = self.of[name][at, column]
            self.of[f"{name} variance"][at, column] = square[rows] + weights**2 @ square[parents]

    def made(self, skipped: Mapping[str, str]) -> Gains:
        of, results = self.of, self.results
        gap = self._estimates("gap")
        gap = self._estimates("gap", np.where(np.isfinite(of["gap p"]), of["gap p"], gap.p))
        return Gains(
            points=tuple(results.models[row] for row in self.rows),
            tasks=results.tasks,
            constituents=tuple(self.keys),
            gain=self._estimates("gain"),
            gap=gap,
            gap_same=of["same"],
            best=self.best,
            n=self.n,
            macro_gain=self._macro("gain"),
            macro_gap=self._macro("gap"),
            lead=self._macro("lead"),
            best_chosen_on="search" if results.has_split else "reported",
            skipped=skipped,
        )

    def _estimates(self, name: str, p: Floats | None = None) -> Estimates:
        found = wald(self.of[name], self.of[f"{name} centre"], self.of[f"{name} variance"], p)
        limit = np.array([1.0 if task.binary else np.inf for task in self.results.tasks])
        return replace(found, low=np.maximum(found.low, -limit), high=np.minimum(found.high, limit))

    def _macro(self, name: str) -> Estimates:
        columns = self.results.shared
        number = max(1, int(columns.sum()))
        value = self.of[name][:, columns]
        mean = value.mean(axis=1) if value.size else np.full(len(self.rows), np.nan)
        variance = self.of[f"{name} variance"][:, columns].sum(axis=1) / number**2
        return wald(mean, mean, np.where(np.isfinite(mean), variance, np.nan))
