"""Emergent items: what a merge has right and none of its constituents, against luck.

Counting such items proves nothing: a model that guesses among four choices finds a quarter of what
its parents lack. What is counted and what it is held against:

* `count`: right, and no constituent is (the paper's sense). `new`: of these, wrong in *every*
  model that the merge was made from, the base included; the rest came back from the base. Tests
  are of `new` on right-or-wrong tasks. The items wrong in all of those models are the *pool*.
* **Chance.** A model without the skill is right on a pool item no oftener than by guessing:
  Binomial(pool, chance) in each task. Related models share their wrong answers and are right less
  often than that, which makes the test cautious. Not for tasks with freely written answers.
* **Relatives.** Controls are the study's merges of a proper part of what the merge was made from:
  for finance + math those of base + finance and base + math. They cannot have the skill that takes
  both, but they have been perturbed alike, and get borderline items right that all parents miss.
  Null: on each item the merge is exchangeable with its K controls. Given how many of the K + 1
  have an item right, each is equally likely to be among them; so the difficulty of each item is
  conditioned on, not estimated. Assumes luck that falls on items one by one: a merge that was moved
  further than its controls, or fell into the format of a task, has luck with many items at once.
* **The best of the others.** So in the task where it stands out a merge must also be above every
  merge of the study that was not made from all that it was made from, whatever its method: exact
  one-sided McNemar test against the one with the most pool items right.
* **Re-drawn masks** (methods with seeds). Null: which pool items a merge has right is the mask's
  luck, so that another mask has others right. Items are compared within strata of equal task and
  difficulty: how many models have it right that were not made from all that the merge was made
  from. Small p: the same items come back, oftener than their difficulty explains.

A task's p is the larger of the p by chance and by relatives, where both are there: both must be
refuted. A merge's p is that of its smallest task p among T tasks, 1 - (1 - min)^T (Sidak; items of
different tasks are independent), and Holm's correction goes over the merges. Under guessing, and
under noise that treats merge and controls alike, the single p-values are uniform but for being
discrete; their maximum is larger. `found` asks for all of it: p after both corrections, in a task
where the best of the others is beaten (5 %), and items that come back with other masks, where there
are other masks. In tasks of two choices a merge that merely prefers the other answer passes for
emergent as soon as it has more than half of the pool right; look at what it lost.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from studies.analysis.emergent import MergeEmergence
from studies.analysis.intervals import holm, plain
from studies.analysis.pools import Family, controls_of
from studies.analysis.sheets import RIGHT_FROM
from studies.results import Part, Results, Scored


@dataclass(frozen=True)
class Emergence:
    """Every merge whose constituents are scored."""

    merges: tuple[MergeEmergence, ...]
    n_tasks: int

    def shown(self, keys: Sequence[str]) -> Emergence:
        """Some of the merges; Holm's correction goes over these."""
        some = [one for one in self.merges if one.key in set(keys)]
        return replace(self, merges=_corrected(some))

    def table(self) -> list[dict[str, Any]]:
        """A row for every merge."""
        return [
            {k: v for k, v in asdict(one).items() if k != "tasks"}
            | {"found": one.found}
            | _best(one)
            for one in self.merges
        ]

    def task_table(self) -> list[dict[str, Any]]:
        """A row for every merge and task."""
        return [{"key": one.key, "merge": one.label, **asdict(task)}
                for one in self.merges for task in one.tasks]  # fmt: skip

    def data(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {"merges": self.table(), "tasks": self.task_table(), "n_tasks": self.n_tasks}


def _best(one: MergeEmergence) -> dict[str, Any]:
    """The task where a merge stands out most, in the columns of its row."""
    task = one.best
    return {
        "best_pool": task.pool if task else None,
        "best_new": task.new if task else None,
        "best_most_control": task.most_control if task else None,
        "best_p_best": task.p_best if task else None,
    }


def emergence(
    results: Results, part: Part = "report", only: Collection[str] | None = None
) -> Emergence:
    """Emergent items of every scored merge whose constituents are all scored.

    Args:
        results: of the study.
        part: of the items. "report" is right for a merge that was chosen on the search items.
        only: keys of the merges that are wanted, which is quicker; Holm's correction is over them.
    """
    tasks = [one for one in results.tasks if one.binary and one.by_item]
    families: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Scored]] = {}
    alike = (
        None if only is None else {_redrawn_as(one) for one in results.points if one.key in only}
    )
    for one in results.points:
        # merges that differ from a wanted one in the seed only are what it is compared with
        if one.point is not None and (alike is None or _redrawn_as(one) in alike):
            constituents = results.constituent_keys(one.point)
            if all(key in results.row for key in constituents):
                above = tuple(key for key in results.ancestors(one.point) if key in results.row)
                families.setdefault((above, constituents), []).append(one)
    found: dict[str, MergeEmergence] = {}
    for (above, constituents), members in families.items():
        family = Family(results, tasks, part, above, constituents, members)
        found |= {one.key: one for one in family.merges()}
    wanted = found if only is None else set(only)
    ordered = [found[one.key] for one in results.points if one.key in found and one.key in wanted]
    return Emergence(_corrected(ordered), len(tasks))


def _redrawn_as(one: Scored) -> tuple[Any, ...]:
    """What merges that differ in the seed only have in common."""
    point = one.point
    if point is None:
        return ()
    return (point.stage, point.constituents, point.on, point.method,
            repr(sorted(point.options.items())))  # fmt: skip


def _corrected(merges: Sequence[MergeEmergence]) -> tuple[MergeEmergence, ...]:
    p = holm([np.nan if one.p is None else one.p for one in merges])
    return tuple(replace(one, p_holm=plain(value)) for one, value in zip(merges, p, strict=True))


def new_items(results: Results, key: str, part: Part = "all") -> list[dict[str, Any]]:
    """The pool items that a merge has right, one row each, with how many controls have, too.

    Those that no control has right come first.
    """
    one = results.model(key)
    if one is None or one.point is None:
        return []
    above = [results.row[k] for k in results.ancestors(one.point) if k in results.row]
    controls = [results.row[c.key] for c in controls_of(results, one)]
    found = []
    for task in results.tasks:
        if not (task.binary and task.by_item and task.name in one.items):
            continue
        x = results.items(task.name)
        wrong = (np.isfinite(x[above]) & (x[above] < RIGHT_FROM)).all(axis=0)
        right = wrong & task.mask(part) & (x[results.row[key]] >= RIGHT_FROM)
        for i in np.flatnonzero(right):
            n_right = int((x[controls][:, i] >= RIGHT_FROM).sum())
            found.append({"task": task.name, "item": int(i), "doc_id": task.items[i][0],
                          "controls_right": n_right, "n_controls": len(controls)})  # fmt: skip
    return sorted(found, key=lambda row: row["controls_right"])
