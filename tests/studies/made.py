"""Small studies with made-up scores: real designs and points, items from a function or a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from studies.design import Design
from studies.points import Chosen, Point, points_of
from studies.results import Results, Scored, Task, reported_values


def design(
    experts: Sequence[str] = ("finance", "math", "japanese"),
    *,
    methods: Sequence[Mapping[str, Any]] | None = None,
    instruct: bool = False,
    **more: Any,
) -> Design:
    """A design; nothing of it has to exist."""
    grid = [{"method": "task_arithmetic", "grid": {"scale": [0.5, 1.0]}}]
    return Design(
        name="made",
        base="m/base",
        experts={name: f"m/{name}" for name in experts},
        instruct="m/instruct" if instruct else None,
        methods=grid if methods is None else methods,
        suite="sandbox",
        **more,
    )


def task(
    name: str,
    n: int,
    domain: str | None = None,
    *,
    held_out: Sequence[bool] | None = None,
    **more: Any,
) -> Task:
    """A task of right-or-wrong items."""
    mask = np.ones(n, bool) if held_out is None else np.array(held_out, bool)
    given: dict[str, Any] = {
        "metric": "acc", "binary": True, "higher_is_better": True, "chance": 0.25, **more,
    }  # fmt: skip
    return Task(
        name=name,
        domain=domain or name,
        n=n,
        items=tuple((i, f"h{i}") for i in range(n)),
        held_out=mask,
        **given,
    )


def points(made: Design, stages: Sequence[str] | None = None) -> list[Point]:
    """All points of some stages; the first of stage 2 stands for the best merge."""
    found: list[Point] = []
    for stage in stages or made.stages:
        pairs = [one for one in found if one.stage == "2"]
        chosen = Chosen(
            options={one.method: one.options for one in found}, best=pairs[0] if pairs else None
        )
        found += points_of(made, stage, chosen)
    return found


Items = Callable[[str, "Point | None", Task], Any]


def results(
    made: Design,
    tasks: Sequence[Task],
    items: Items,
    *,
    stages: Sequence[str] | None = None,
    some: Sequence[Point] | None = None,
    **more: Any,
) -> Results:
    """Results whose items are `items(name of the parent or key, point, task)`; None: not scored."""

    def scored(key: str, point: Point | None, role: str, domain: str | None) -> Scored:
        found = {one.name: items(key, point, one) for one in tasks}
        arrays = {k: np.asarray(v, dtype=np.float32) for k, v in found.items() if v is not None}
        label = key if point is None else point.label
        metrics = {k: float(np.nanmean(v)) for k, v in arrays.items()}
        values = reported_values(tasks, arrays, metrics)
        return Scored(key, label, role, domain, point, arrays, values)  # type: ignore[arg-type]

    roles = {"base": "base", "instruct": "instruct"}
    parents = {
        name: scored(name, None, roles.get(name, "expert"), None if name in roles else name)
        for name in made.models
    }
    every = points(made, stages) if some is None else list(some)
    return Results(
        design=made,
        tasks=tuple(tasks),
        parents={name: one for name, one in parents.items() if one.items},
        points=tuple(scored(one.key, one, "point", None) for one in every),
        planned=len(every),
        **more,
    )


def of_table(scores: Mapping[str, Mapping[str, Sequence[float]]]) -> Items:
    """Items by name of the parent, or by `stage constituents` such as `2 finance+math`."""

    def items(key: str, point: Point | None, one: Task) -> Any:
        name = key if point is None else f"{point.stage} {'+'.join(point.constituents)}"
        return scores.get(name, scores.get("*", {})).get(one.name)

    return items
