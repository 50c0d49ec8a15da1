"""A made-up study whose truth is known: what each model knows, forgets and mixes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from studies.points import Point, points_of
from studies.results import Results, Task
from studies.vectors import Cell
from tests.studies import made

METHODS = [
    {"method": "task_arithmetic", "grid": {"scale": [0.3, 0.6, 1.0, 1.4]}},
    {"method": "ties", "grid": {"density": [0.2, 0.5, 0.8]}},
    {"method": "dare_ties", "grid": {"density": [0.3, 0.7]}, "seeds": [1, 2]},
]
EXPERTS = ("finance", "math", "japanese")
DOMAINS = ("general", *EXPERTS, "cross", "chat")


def world(
    seed: int = 0,
    *,
    n: int = 200,
    per_domain: int = 2,
    forgetting: float = 0.25,
    emergent: float = 0.0,
    interference: float = 0.5,
    sensitive: float = 0.8,
    split: bool = True,
    experts: tuple[str, ...] = EXPERTS,
    cosine: float = 0.05,
) -> Results:
    """Experts gain 0.5 at their own domain and lose `forgetting` of the general one.

    A merge at scale s has s of its experts' gains (less beyond 1) and s of the losses; each expert
    more costs `interference` of the gains; a bad scale costs `sensitive` of everything.
    """
    rng = np.random.default_rng(seed)
    design = made.design(experts, methods=METHODS, instruct=True,
                         split={"seed": 1, "share": 0.5} if split else None)  # fmt: skip
    held = rng.random((len(DOMAINS), per_domain, n)) < 0.5
    tasks = [
        made.task(f"{domain}_{i}", n, domain, held_out=held[d, i] if split else None,
                  chance=0.0 if domain == "chat" else 0.25)
        for d, domain in enumerate(DOMAINS) for i in range(per_domain)
    ]  # fmt: skip
    fixed = {one.name: rng.random(one.n) for one in tasks}
    skill = {one.name: rng.random(one.n) < emergent * (one.domain == "cross") for one in tasks}

    def items(key: str, point: Point | None, task: Task) -> Any:
        level = chance_of(key, point, task.domain)
        # half of an item's luck is its own, so that models agree as relatives do
        right = 0.6 * fixed[task.name] + 0.4 * rng.random(task.n) < level
        if point is not None and {"finance", "math"} <= set(point.constituents):
            right |= skill[task.name]
        return right

    def chance_of(key: str, point: Point | None, domain: str) -> float:
        base = {"general": 0.9, "cross": 0.3, "chat": 0.02}.get(domain, 0.3)
        names = {key: 1.0}
        cost = 1.0
        if point is not None:
            scale = float(point.options.get("scale", 0.8)) if point.method != "ties" else 0.8
            scale = float(point.options.get("expert_scale", scale))
            own = [one for one in point.constituents if one != "instruct"]
            names = {one: min(scale, 1.0) for one in own}
            if "instruct" in point.constituents:
                names["instruct"] = min(1.0, float(point.options["alpha"]))
            cost = 1 - interference * (len(own) - 1) / 2
            cost *= 1 - sensitive * max(0.0, scale - 1.0)
        level = base
        for name, share in names.items():
            if name == domain:
                level += 0.5 * share * cost
            if name in EXPERTS and domain == "general":
                level -= forgetting * share
            if name == "instruct" and domain == "chat":
                level += 0.9 * share
        return level if cost > 0.9 or domain == "chat" else max(0.05, level * (0.6 + 0.4 * cost))

    points = [one for stage in ("1", "2", "3") for one in points_of(design, stage)]
    points += points_of(design, "instruct")
    names = ["base", *experts, "instruct"]
    return made.results(design, tasks, items, some=points, similarity=facts(names, cosine),
                        cells=cells([*experts, "instruct"], cosine))  # fmt: skip


def facts(names: list[str], cosine: float) -> dict[tuple[str, str], dict[str, float]]:
    """Measures of every pair."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for i, first in enumerate(names):
        for j, second in enumerate(names[i + 1 :], i + 1):
            found[first, second] = {"l2": 10.0 + i + j, "weight_cosine": 0.9 - 0.01 * (i + j)}
            if first != "base":
                found[first, second] |= {"task_cosine": cosine, "sign_conflict": 0.45}
    return found


def cells(names: list[str], cosine: float) -> tuple[Cell, ...]:
    """Two layers of two modules; norms 2 and 3, all with one cosine."""
    return tuple(
        Cell(first, second, f"model.layers.{layer}.{module}", f"layer {layer}", module, 1000,
             cosine * 2 * 3, 4.0, 9.0)
        for i, first in enumerate(names) for second in names[i + 1 :]
        for layer in (0, 1) for module in ("q_proj", "down_proj")
    )  # fmt: skip


def finite(value: Any) -> bool:
    """Whether plain data can be written as strict JSON."""
    if isinstance(value, dict):
        return all(isinstance(k, str) and finite(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return all(finite(one) for one in value)
    return not isinstance(value, float) or math.isfinite(value)
