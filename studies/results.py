"""What a study has scored so far, as plain numbers: the parents, the points, item by item.

Everything that `studies.analysis` draws from. A study that still runs has fewer points, one whose
parents fail has fewer parents, and a model may lack a task: nothing here demands completeness, and
what cannot be told is nan (in arrays) or None.

Two parts of the items. With a split, what is *chosen* is chosen on the search items of a task and
what is *reported* on its held-out items; without one both are all items, and whatever was chosen
is flattered by having been picked on the very items it is reported on (`Results.has_split`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from evaluation.signatures.general import general_tasks
from studies.vectors import Cell

if TYPE_CHECKING:
    from studies.design import Design
    from studies.points import Point

Role = Literal["base", "expert", "instruct", "point"]
Part = Literal["report", "search", "all"]
Floats = NDArray[np.float64]
BASE, INSTRUCT = "base", "instruct"
CHAT_DOMAINS = ("chat", "instruct", "instruction", "instructions", "dialogue")


@dataclass(frozen=True, eq=False)
class Task:
    """A task of the suite and its items.

    Attributes:
        name: of the task.
        domain: of the suite that it belongs to.
        metric: primary metric.
        n: items that were asked.
        items: (number of the document, its hash), in the order of all score arrays.
        binary: every item is right (1) or wrong (0).
        higher_is_better: False for errors and perplexities; Gains are turned, so that above zero
            is better everywhere, and such tasks stay out of mean scores.
        chance: score of guessing, such as 0.25 with four choices; 0 where the answer is written
            freely; None where it is not known.
        held_out: `(n,)`, the items for reporting; all True without a split.
        by_item: whether the metric is the mean of the items' scores (accuracy is, F1 is not). If
            not, its value is of all items, split or no split.
    """

    name: str
    domain: str
    metric: str
    n: int
    items: tuple[tuple[int, str], ...]
    binary: bool
    higher_is_better: bool
    chance: float | None
    held_out: NDArray[np.bool_]
    by_item: bool = True

    def mask(self, part: Part) -> NDArray[np.bool_]:
        """The items of a part, `(n,)`."""
        if part == "all" or self.held_out.all():
            return np.ones(self.n, dtype=np.bool_)
        return self.held_out if part == "report" else ~self.held_out


@dataclass(frozen=True, eq=False)
class Scored:
    """A model with its scores.

    Attributes:
        key: of the point; "base", the domain or "instruct" of a parent.
        label: for people.
        role: what it is in the study.
        domain: of an expert.
        point: None for a parent.
        items: task -> score of every item, `(n,)` float32; nan where it was not asked.
        values: task -> the metric over the reported items (over all items where it is no mean).
        stderrs: task -> standard error of the value; used where the metric is no mean of items.
    """

    key: str
    label: str
    role: Role
    domain: str | None
    point: Point | None
    items: Mapping[str, NDArray[np.float32]]
    values: Mapping[str, float]
    stderrs: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Results:
    """A study's design and all scores that there are.

    Attributes:
        design: of the study.
        tasks: in the suite's order.
        parents: by "base", domain names and "instruct"; those that are scored.
        points: those that are scored, in the design's order.
        failed: key of a point -> why it failed.
        planned: number of points that the design makes.
        similarity: pair of parents, in the order base, experts, instruct -> measures over all
            weights, see `studies.vectors.MEASURES`; None where nobody compared them.
        cells: the same by layer and module, for pairs of task vectors.
    """

    design: Design
    tasks: tuple[Task, ...]
    parents: Mapping[str, Scored]
    points: tuple[Scored, ...]
    failed: Mapping[str, str] = field(default_factory=dict)
    planned: int = 0
    similarity: Mapping[tuple[str, str], Mapping[str, float]] | None = None
    cells: tuple[Cell, ...] = ()

    # -- who there is -----------------------------------------------------------------------

    @cached_property
    def models(self) -> tuple[Scored, ...]:
        """Parents (base, experts, instruct), then points: the rows of all arrays."""
        order = [BASE, *self.design.experts, INSTRUCT]
        return (*(self.parents[one] for one in order if one in self.parents), *self.points)

    @cached_property
    def row(self) -> Mapping[str, int]:
        """Key of a model -> its row."""
        return {one.key: row for row, one in enumerate(self.models)}

    @cached_property
    def experts(self) -> tuple[str, ...]:
        """Domains of the experts that are scored, in the design's order."""
        return tuple(one for one in self.design.experts if one in self.parents)

    def model(self, key: str) -> Scored | None:
        """A parent or point by its key; None if it is not scored."""
        row = self.row.get(key)
        return None if row is None else self.models[row]

    def constituent_keys(self, point: Point) -> tuple[str, ...]:
        """What Gain and OG of a point are taken over, scored or not.

        Stage 1: the base and the expert. Stages 2 and 3: the experts. Instruct stage: the expert,
        or the merge that the instruct model was added to, and the instruct model.
        """
        if point.on is not None:
            return (point.on, INSTRUCT)
        names = tuple(one for one in point.constituents if one != BASE)
        if point.stage == "1":
            return (BASE, *names)
        if point.stage == "instruct":
            return (*(one for one in names if one != INSTRUCT), INSTRUCT)
        return names

    def constituents(self, point: Point) -> list[Scored]:
        """The scored ones of `constituent_keys`; fewer than those while parents are missing."""
        found = (self.model(key) for key in self.constituent_keys(point))
        return [one for one in found if one is not None]

    def ancestors(self, point: Point) -> tuple[str, ...]:
        """Keys of all models that went into a point: the base, the parents, the merge below."""
        names = [BASE, *(one for one in point.constituents if one != BASE)]
        if point.stage == "instruct":
            names.append(INSTRUCT)
        if point.on is not None:
            names.append(point.on)
        return tuple(dict.fromkeys(names))

    # -- tasks ------------------------------------------------------------------------------

    @cached_property
    def has_split(self) -> bool:
        """Whether some items are for choosing only."""
        return any(not task.held_out.all() for task in self.tasks)

    @cached_property
    def column(self) -> Mapping[str, int]:
        """Name of a task -> its column."""
        return {task.name: column for column, task in enumerate(self.tasks)}

    @cached_property
    def domains(self) -> tuple[str, ...]:
        """Domains of the suite, in its order."""
        return tuple(dict.fromkeys(task.domain for task in self.tasks))

    @cached_property
    def shared(self) -> NDArray[np.bool_]:
        """`(tasks,)`: the tasks that mean scores are taken over.

        Those where higher is better and that every scored parent has (without parents: every
        point). A model that lacks one of them has no mean score, rather than one over fewer tasks.
        """
        there = np.isfinite(self.scores("report"))
        n_parents = len(self.models) - len(self.points)
        who = there[:n_parents] if n_parents else there
        upward = np.array([task.higher_is_better for task in self.tasks], dtype=np.bool_)
        found: NDArray[np.bool_] = who.all(axis=0) & upward & (who.shape[0] > 0)
        return found

    def tasks_of(self, domains: Iterable[str] | None = None) -> NDArray[np.bool_]:
        """`(tasks,)`: the shared tasks of some domains; None: of all."""
        if domains is None:
            return self.shared
        wanted = set(domains)
        return self.shared & np.array([task.domain in wanted for task in self.tasks], dtype=bool)

    @cached_property
    def general(self) -> NDArray[np.bool_]:
        """`(tasks,)`: the shared tasks of general skills.

        Those of the domain "general", or else of the domains that are no expert's, chat aside.
        """
        mine = {task.name: task.domain for task in self.tasks}
        names = set(general_tasks(mine, {*self.design.experts, *CHAT_DOMAINS}))
        return self.shared & np.array([task.name in names for task in self.tasks], dtype=bool)

    @cached_property
    def bounded(self) -> bool:
        """Whether all scores of the shared tasks lie between 0 and 1, as shares do."""
        shared = [task for task, here in zip(self.tasks, self.shared, strict=True) if here]
        parts = [self._stacked[task.name] for task in shared if not task.binary]
        parts.append(self.scores("report")[:, self.shared].astype(np.float32))
        lowest = min((float(np.nanmin(x, initial=0)) for x in parts), default=0.0)
        highest = max((float(np.nanmax(x, initial=1)) for x in parts), default=1.0)
        return lowest >= 0 and highest <= 1

    # -- scores -----------------------------------------------------------------------------

    def items(self, task: str) -> NDArray[np.float32]:
        """Every model's score on every item of a task, `(models, n)`; nan where not asked."""
        return self._stacked[task]

    def scores(self, part: Part = "report") -> Floats:
        """Every model's score on every task over a part of the items, `(models, tasks)`."""
        return self._scores[part]

    def score(self, model: Scored | str, task: str, part: Part = "report") -> float | None:
        """A model's score on a task; None where it has none."""
        key = model if isinstance(model, str) else model.key
        if key not in self.row or task not in self.column:
            return None
        return _told(self._scores[part][self.row[key], self.column[task]])

    def macros(self, part: Part = "report", tasks: NDArray[np.bool_] | None = None) -> Floats:
        """Every model's mean over the shared tasks, `(models,)`; nan where one is lacking.

        Args:
            part: of the items.
            tasks: `(tasks,)`, a part of the shared ones.
        """
        columns = self.shared if tasks is None else tasks
        values = self._scores[part][:, columns]
        # a task of one item has none to search on, and is nobody's ground for choosing
        values = values[:, np.isfinite(values).any(axis=0)]
        if not values.size:
            return np.full(len(self.models), np.nan)
        found: Floats = values.mean(axis=1)
        return found

    def macro(self, model: Scored | str, part: Part = "report") -> float | None:
        """A model's mean over the shared tasks; None where one is lacking."""
        key = model if isinstance(model, str) else model.key
        return _told(self.macros(part)[self.row[key]]) if key in self.row else None

    @cached_property
    def _stacked(self) -> dict[str, NDArray[np.float32]]:
        found = {}
        for task in self.tasks:
            stack = np.full((len(self.models), task.n), np.nan, dtype=np.float32)
            for row, one in enumerate(self.models):
                scores = one.items.get(task.name)
                if scores is not None:
                    stack[row] = scores
            found[task.name] = stack
        return found

    @cached_property
    def _scores(self) -> dict[Part, Floats]:
        parts: tuple[Part, ...] = ("report", "search", "all")
        found: dict[Part, Floats] = {}
        for part in parts:
            if part != "report" and not self.has_split:
                found[part] = found["report"]
                continue
            columns = [self._task_scores(task, part) for task in self.tasks]
            empty = np.zeros((len(self.models), 0))
            found[part] = np.stack(columns, axis=1) if columns else empty
        return found

    def _task_scores(self, task: Task, part: Part) -> Floats:
        """`(models,)`: the mean of the items, or the metric's value where it is no mean."""
        if not task.by_item:
            return np.array([one.values.get(task.name, np.nan) for one in self.models])
        # with a split, a task whose items are all reported has none to choose on
        chosen = part == "search" and self.has_split
        mask = ~task.held_out if chosen else task.mask(part)
        return mean_rows(self._stacked[task.name][:, mask])


def mean_rows(values: NDArray[np.float32]) -> Floats:
    """Mean of each row, in float64, over what is not nan; nan for a row without numbers."""
    total = np.nansum(values, axis=1, dtype=np.float64)
    n = np.isfinite(values).sum(axis=1)
    blank = np.full(total.shape, np.nan)
    found: Floats = np.divide(total, n, out=blank, where=n > 0)
    return found


def reported_values(
    tasks: Sequence[Task], items: Mapping[str, NDArray[np.float32]], metrics: Mapping[str, float]
) -> dict[str, float]:
    """`Scored.values` of a model: means over the reported items, or the metric as it was scored.

    Args:
        tasks: of the study.
        items: task -> score of every item.
        metrics: task -> value of the primary metric over all items.
    """
    found = {}
    for task in tasks:
        if task.by_item and task.name in items:
            asked = items[task.name][None]
            if not task.held_out.all():
                asked = asked[:, task.held_out]
            total = float(asked.sum(axis=1, dtype=np.float64)[0]) / max(1, asked.size)
            # of numbers alone the sum is what `mean_rows` has, in a quarter of the time
            known = asked.size and np.isfinite(total)
            found[task.name] = total if known else float(mean_rows(asked)[0])
        elif task.name in metrics:
            found[task.name] = float(metrics[task.name])
    return found


def _told(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
