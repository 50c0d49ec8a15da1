"""Domain score against general score: which merges no other merge beats on both.

The domain score of a model is its mean over the tasks of some experts' domains, its general score
that over the general tasks. The non-dominated set is of the scores as they are; within noise a
neighbour may be as good, which the standard errors tell. With many merges the ends of the front owe
something to luck, more so the fewer the items.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studies.analysis.intervals import plain
from studies.results import Floats, Part, Results


@dataclass(frozen=True)
class Spot:
    """A model in the plane.

    Attributes:
        key: of the model; opens its recipe.
        label: for people.
        role: of the model in the study.
        stage: of a point; None for a parent.
        method: of a point.
        domain: mean score over the domain tasks.
        domain_error: its standard error from the items.
        general: mean score over the general tasks.
        general_error: its standard error.
        front: whether no model is at least as good on both and better on one.
    """

    key: str
    label: str
    role: str
    stage: str | None
    method: str | None
    domain: float
    domain_error: float | None
    general: float
    general_error: float | None
    front: bool


@dataclass(frozen=True)
class Pareto:
    """All models in the plane.

    Attributes:
        spots: parents first.
        domains: whose tasks are the domain tasks.
        n_domain: domain tasks.
        n_general: general tasks.
    """

    spots: tuple[Spot, ...]
    domains: tuple[str, ...]
    n_domain: int
    n_general: int

    @property
    def front(self) -> tuple[Spot, ...]:
        """The non-dominated ones, by rising general score."""
        return tuple(sorted((one for one in self.spots if one.front), key=lambda one: one.general))

    def table(self) -> list[dict[str, Any]]:
        """A row for every model."""
        return [asdict(one) for one in self.spots]

    def data(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {"spots": self.table(), "domains": list(self.domains),
                "n_domain_tasks": self.n_domain, "n_general_tasks": self.n_general}  # fmt: skip


def pareto(results: Results, domain: str | None = None, part: Part = "report") -> Pareto:
    """Every scored model by domain and general score.

    Args:
        results: of the study.
        domain: of one expert; default the domains of all experts, each task counting once.
        part: of the items.

    Returns:
        Without spots where the suite has no tasks of such a domain or no general ones.
    """
    domains = tuple(results.design.experts) if domain is None else (domain,)
    of_domain = results.tasks_of(domains) & ~results.general
    of_general = results.general
    sizes = int(of_domain.sum()), int(of_general.sum())
    if not all(sizes):
        return Pareto((), domains, *sizes)
    x, y = results.macros(part, of_domain), results.macros(part, of_general)
    front = non_dominated(x, y)
    errors = [_errors(results, tasks, part) for tasks in (of_domain, of_general)]
    spots = []
    for row, one in enumerate(results.models):
        if np.isfinite(x[row]) and np.isfinite(y[row]):
            point = one.point
            spots.append(
                Spot(
                    key=one.key,
                    label=one.label,
                    role=one.role,
                    stage=None if point is None else str(point.stage),
                    method=None if point is None else point.method,
                    domain=float(x[row]),
                    domain_error=plain(errors[0][row]),
                    general=float(y[row]),
                    general_error=plain(errors[1][row]),
                    front=bool(front[row]),
                )
            )
    return Pareto(tuple(spots), domains, *sizes)


def non_dominated(x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Which places no other beats: nobody is at least as high on both axes and higher on one.

    Places with a nan are never among them. One pass over the places sorted by falling x.
    """
    found = np.zeros(x.size, dtype=np.bool_)
    there = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    order = there[np.lexsort((-y[there], -x[there]))]
    highest, last = -np.inf, (np.nan, np.nan)
    for place in order:
        here = (float(x[place]), float(y[place]))
        found[place] = here[1] > highest or here == last
        if found[place]:
            highest, last = here[1], here
    return found


def _errors(results: Results, tasks: NDArray[np.bool_], part: Part) -> Floats:
    """Standard error of every model's mean over some tasks, `(models,)`."""
    total = np.zeros(len(results.models))
    for column in np.flatnonzero(tasks):
        task = results.tasks[column]
        if not task.by_item:
            errors = [one.stderrs.get(task.name, np.nan) for one in results.models]
            total += np.square(np.array(errors))
            continue
        x = results.items(task.name)[:, task.mask(part)]
        there = np.isfinite(x)
        n = there.sum(axis=1).astype(np.float64)
        filled = np.where(there, x, 0).astype(np.float64)
        blank = np.full(n.shape, np.nan)
        mean = np.divide(filled.sum(axis=1), n, out=blank.copy(), where=n > 0)
        squares = np.einsum("ij,ij->i", filled, filled) - n * np.square(mean)
        total += np.divide(np.maximum(squares, 0.0), n * (n - 1), out=blank, where=n > 1)
    found: Floats = np.sqrt(total) / int(tasks.sum())
    return found
