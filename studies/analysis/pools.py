"""Merges of the same models on the items that none of those models has right; see `emergence`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from studies.analysis import nulls
from studies.analysis.emergent import MergeEmergence, TaskEmergence
from studies.analysis.intervals import LEVEL, Z, plain
from studies.analysis.sheets import RIGHT_FROM
from studies.results import BASE, Floats, Part, Results, Scored, Task

Marks = NDArray[np.int64]
BANDS = 60  # fewer mix items of unequal difficulty, which then pass for a skill


def controls_of(results: Results, point: Scored) -> list[Scored]:
    """The scored merges of a proper part of what a merge was made from."""
    if point.point is None:
        return []
    mine, below = _made_of(point), point.point.on
    return [
        one for one in results.points
        if one.point is not None and _made_of(one) < mine and one.key != below
    ]  # fmt: skip


def others_of(results: Results, point: Scored, above: Sequence[str]) -> list[Scored]:
    """Every scored model that was not made from all that a merge was made from, nor its parent.

    How many of them have an item right says how hard it is, whatever the merge may know.
    """
    mine = _made_of(point)
    return [
        one for one in results.models
        if one.key not in above and not (one.point is not None and _made_of(one) >= mine)
    ]  # fmt: skip


def bands(right: Marks, n: int) -> Marks:
    """Items by how many of n models have them right: none, and then up to BANDS equal steps."""
    steps = min(BANDS, n)
    found: Marks = np.where(right > 0, 1 + (right - 1) * steps // max(n, 1), 0)
    return found


def _made_of(one: Scored) -> frozenset[str]:
    names = () if one.point is None else one.point.constituents
    return frozenset(names) - {BASE}


class Family:
    """Merges of the same models: they share the pool and the controls."""

    def __init__(
        self,
        results: Results,
        tasks: Sequence[Task],
        part: Part,
        above: Sequence[str],
        constituents: Sequence[str],
        members: Sequence[Scored],
    ) -> None:
        self.results, self.part, self.members = results, part, members
        self.rows = [results.row[one.key] for one in members]
        self.above = [results.row[key] for key in above]
        self.constituents = [results.row[key] for key in constituents]
        self.controls = [results.row[one.key] for one in controls_of(results, members[0])]
        self.others = [results.row[one.key] for one in others_of(results, members[0], above)]
        self.rivals = [row for row in self.others if results.models[row].point is not None]
        self.tasks = [one for one in tasks if self._has(one)]
        shape = (len(members), len(self.tasks))
        self.count, self.new = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self.p_chance, self.p_relatives = np.full((2, *shape), np.nan)
        self.expected = np.full(len(self.tasks), np.nan)
        self.variance = np.zeros(shape)
        self.pool, self.n = np.zeros((2, len(self.tasks)), np.int64)
        self.p_best = np.full(shape, np.nan)
        self.most: list[int | None] = [None] * len(self.tasks)
        self.marks: list[Marks] = []
        self.strata: list[Marks] = []
        for column, task in enumerate(self.tasks):
            self._task(column, task)

    def _has(self, task: Task) -> bool:
        wanted = [*self.above, *self.rows]
        return bool(
            np.isfinite(
                self.results.scores(self.part)[wanted, self.results.column[task.name]]
            ).all()
        )

    def _task(self, column: int, task: Task) -> None:
        x = self.results.items(task.name)[:, task.mask(self.part)]
        asked = np.isfinite(x[self.above]).all(axis=0)
        right = (x >= RIGHT_FROM).astype(np.int64)  # nan counts as wrong
        mine = right[self.rows]
        self.n[column] = int(asked.sum())
        nobody = asked & ~right[self.constituents].any(axis=0)
        self.count[:, column] = mine[:, nobody].sum(axis=1)
        pool = asked & ~right[self.above].any(axis=0)
        inside, controls = mine[:, pool], right[self.controls][:, pool]
        self.pool[column] = size = int(pool.sum())
        self.new[:, column] = inside.sum(axis=1)
        self.marks.append(inside)
        self.strata.append(bands(right[self.others][:, pool].sum(axis=0), len(self.others)))
        if not size:
            return
        if self.rivals:
            rivals = right[self.rivals][:, pool]
            best = int(rivals.sum(axis=1).argmax())
            self.most[column] = int(rivals[best].sum())
            self.p_best[:, column] = nulls.against(inside, rivals[best])
        self.p_chance[:, column] = nulls.by_chance(self.new[:, column], size, task.chance)
        self.p_relatives[:, column] = nulls.by_relatives(inside, controls)
        luck = [np.full(size, task.chance)] if task.chance else []
        luck += [controls.mean(axis=0)] if len(controls) else []
        if luck:
            larger = max(luck, key=lambda rates: float(rates.sum()))
            self.expected[column] = larger.sum()
            d = inside - larger
            n = size + 2  # one item more in each direction, as for every paired difference
            total = d.sum(axis=1)
            self.variance[:, column] = n * ((np.square(d).sum(axis=1) + 2) / n - (total / n) ** 2)

    def merges(self) -> list[MergeEmergence]:
        """One for each member."""
        p_task = np.fmax(self.p_chance, self.p_relatives)
        p = nulls.sidak(p_task)
        tested = np.isfinite(self.expected)
        redrawn = self._redrawn()
        return [
            self._merge(i, p_task[i], float(p[i]), tested, redrawn.get(one.key))
            for i, one in enumerate(self.members)
        ]

    def _merge(
        self,
        i: int,
        p_task: Floats,
        p: float,
        tested: NDArray[np.bool_],
        redrawn: tuple[int, float, float, float] | None,
    ) -> MergeEmergence:
        one = self.members[i]
        point = one.point
        assert point is not None  # a family holds points only
        by_luck = float(self.expected[tested].sum()) if tested.any() else None
        mine = int(self.new[i, tested].sum())
        half = Z * sqrt(float(self.variance[i, tested].sum()))
        stands_out = tested.any() and np.isfinite(p_task).any() and self.new[i].any()
        n_redrawn, again, again_expected, p_redrawn = redrawn or (0, np.nan, np.nan, np.nan)
        return MergeEmergence(
            key=one.key,
            label=one.label,
            stage=str(point.stage),
            method=point.method,
            n=int(self.n.sum()),
            count=int(self.count[i].sum()),
            pool=int(self.pool.sum()),
            new=int(self.new[i].sum()),
            expected=by_luck,
            tested=mine,
            low=None if by_luck is None else mine - by_luck - half,
            high=None if by_luck is None else mine - by_luck + half,
            n_controls=len(self.controls),
            p=plain(p),
            p_holm=None,
            best_task=self._best_task(i, p_task) if stands_out else None,
            n_redrawn=n_redrawn,
            again=plain(again),
            again_expected=plain(again_expected),
            p_redrawn=plain(p_redrawn),
            tasks=tuple(
                TaskEmergence(
                    task.name,
                    int(self.pool[j]),
                    int(self.new[i, j]),
                    plain(self.expected[j]),
                    plain(self.p_chance[i, j]),
                    plain(self.p_relatives[i, j]),
                    plain(p_task[j]),
                    self.most[j],
                    plain(self.p_best[i, j]),
                )
                for j, task in enumerate(self.tasks)
            ),
        )

    def _best_task(self, i: int, p_task: Floats) -> str:
        alone = np.where(self.p_best[i] < LEVEL, p_task, np.nan)
        return self.tasks[int(np.nanargmin(alone if np.isfinite(alone).any() else p_task))].name

    def _redrawn(self) -> Mapping[str, tuple[int, float, float, float]]:
        """Key -> merges that differ in the seed only, items two share, expected, p."""
        classes: dict[str, list[int]] = {}
        for i, one in enumerate(self.members):
            if one.point is not None:
                key = f"{one.point.method} {sorted(one.point.options.items())!r}"
                classes.setdefault(key, []).append(i)
        found = {}
        for places in classes.values():
            if len(places) < 2:
                continue
            n_pairs = len(places) * (len(places) - 1) / 2
            draws = [marks[places] for marks in self.marks]
            shared, expected, p = nulls.by_redrawing(draws, self.strata)
            for i in places:
                key = self.members[i].key
                found[key] = (len(places), shared / n_pairs, expected / n_pairs, p)
        return found
