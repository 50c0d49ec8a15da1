"""The final table: what was chosen on search items, told on held-out items alone.

The winner stands beside the best known point and the best parent, with the paired interval of the
difference, whichever way it falls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.statistics.uncertainty import macro_bootstrap
from jobs.models import recipes
from jobs.search import models, scoring, state
from search.checks import check_suite
from search.objectives import value_of

if TYPE_CHECKING:
    from jobs.search.scoring import TaskScore

BEST, GRID, PARENT = "best", "grid", "parent"
WORDS = {BEST: "best of the search", GRID: "best known point", PARENT: "best parent"}


@dataclass(frozen=True)
class Cell:
    """A value in one objective on held-out items, with its 95 % interval where there is one."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Line:
    """One merge or model of the table.

    Attributes:
        kind: "best", "grid" or "parent".
        label: what it is.
        ref: of the trial; None of a parent.
        model: its name in the registry.
        model_id: its number there.
        search: value in the deciding objective on the search items that it was chosen by.
        cells: one for each objective.
        items: held-out items behind them.
    """

    kind: str
    label: str
    ref: str | None
    model: str
    model_id: int
    search: float | None
    cells: tuple[Cell, ...]
    items: int


@dataclass(frozen=True)
class Against:
    """A winner's value minus another's on the same held-out items, in the deciding objective."""

    ref: str
    kind: str
    label: str
    difference: float
    low: float | None
    high: float | None
    same: bool

    @property
    def verdict(self) -> str:
        """In words."""
        if self.same:
            return "it is the same merge"
        if self.low is None or self.high is None:
            return "no interval: a metric here is no mean of its items"
        if self.low > 0:
            return "better, beyond what noise does"
        return "worse, beyond what noise does" if self.high < 0 else "could be noise"


@dataclass(frozen=True)
class Held:
    """The whole table.

    Attributes:
        objectives: their titles.
        deciding: which of them chose.
        lines: the best, the known point, the parent.
        against: the first line against the others.
        missing: what is not scored yet, by name.
        trials: that the best were chosen from.
        objective_kinds: "score", "general" or "change" of each.
    """

    objectives: tuple[str, ...]
    deciding: int
    lines: tuple[Line, ...]
    against: tuple[Against, ...]
    missing: tuple[str, ...]
    trials: int
    objective_kinds: tuple[str, ...] = ()

    def to_mapping(self) -> dict[str, Any]:
        """As plain data."""
        from dataclasses import asdict

        data = asdict(self)
        for one, against in zip(data["against"], self.against, strict=True):
            one["verdict"] = against.verdict
        return data


def held_out(search_id: int) -> Held | None:
    """The table of a search; None before anything was chosen.

    Raises:
        SearchError: there is no such search.
    """
    row = state.get(search_id)
    if not row.chosen:
        return None
    design = state.design_of(row)
    asked = check_suite(design, models.domains(models.rows(design), design))
    results = state.load(search_id)
    _, report = scoring.parts(design)
    told = [(one["why"], one["ref"], one["model_id"], None) for one in row.chosen["trials"]]
    told += [(PARENT, None, one["model_id"], one["value"]) for one in row.chosen["parents"][:1]]
    found: list[tuple[Line, Mapping[str, TaskScore]]] = []
    missing = []
    for kind, ref, model_id, value in told:
        try:
            model = recipes.get(int(model_id))
        except AssertionError:  # somebody has deleted it
            continue
        trial = results.trial(ref) if ref is not None else None
        there = scoring.scores(model, design, asked.suite.name, asked.tasks, report)
        if set(there) != set(asked.tasks):
            missing.append(model.name)
        change = trial.change if trial is not None else _parent_change(model.name, design.recipe)
        cells = tuple(_cell(tasks, there, change) for tasks in asked.objectives)
        searched = trial.values[design.deciding] if trial and trial.values else value
        line = Line(kind, trial.title if trial else model.name, ref, model.name, model.id,
                    searched, cells, sum(len(one.items) for one in there.values()))  # fmt: skip
        found.append((line, there))
    return Held(
        objectives=tuple(one.title for one in design.objectives),
        deciding=design.deciding,
        lines=tuple(line for line, _ in found),
        against=tuple(_against(found, asked.objectives[design.deciding])),
        missing=tuple(dict.fromkeys(missing)),
        trials=int(row.chosen.get("n_trials", 0)),
        objective_kinds=tuple(one.of for one in design.objectives),
    )


def _parent_change(name: str, recipe: Mapping[str, Any]) -> float | None:
    """The base has not changed; how far an expert is from it was not measured."""
    return 0.0 if name == recipe.get("base") else None


def _cell(tasks: Sequence[str], there: Mapping[str, TaskScore], change: float | None) -> Cell:
    value = value_of(tasks, {task: one.value for task, one in there.items()}, change)
    if value is None or not tasks or not all(there[task].items for task in tasks):
        return Cell(value)
    interval = macro_bootstrap({task: list(there[task].items.values()) for task in tasks})
    return Cell(value, interval.low, interval.high)


def _against(
    found: Sequence[tuple[Line, Mapping[str, TaskScore]]], tasks: Sequence[str]
) -> list[Against]:
    """The first of the best against the known point and the parent."""
    if not found or found[0][0].kind != BEST:
        return []
    first, mine = found[0]
    told = []
    for line, theirs in found[1:]:
        if line.kind == BEST or not all(
            task in mine and task in theirs and mine[task].config_hash == theirs[task].config_hash
            for task in tasks
        ):
            continue
        values = {one: {t: s.value for t, s in scores.items()}
                  for one, scores in (("mine", mine), ("theirs", theirs))}  # fmt: skip
        a, b = (value_of(tasks, values[one], None) for one in ("mine", "theirs"))
        if a is None or b is None:
            continue
        low = high = None
        if all(mine[task].items.keys() == theirs[task].items.keys() and mine[task].items
               for task in tasks):  # fmt: skip
            paired = {
                task: np.array([mine[task].items[key] - theirs[task].items[key]
                                for key in mine[task].items])
                for task in tasks
            }  # fmt: skip
            interval = macro_bootstrap(paired)
            low, high = interval.low, interval.high
        told.append(Against(first.ref or "", line.kind, line.label, a - b, low, high,
                            line.model_id == first.model_id))  # fmt: skip
    return told
