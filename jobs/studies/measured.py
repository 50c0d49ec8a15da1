"""How long scoring took on this machine before, from the scores that are there."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Mapping
from statistics import median

from sqlalchemy import func, select

from db import settings
from db.engine import session
from db.tables import Evaluation, Model
from jobs.cluster import places

SAME_SIZE = 2.0  # models whose parameters differ by less take about the same time


def task_seconds(
    suite: str, items: Mapping[str, int], n_parameters: int | None
) -> dict[str, float]:
    """Task -> seconds that models of this size took for these items.

    Args:
        suite: name.
        items: task -> items that are to be asked; a time for another number is scaled.
        n_parameters: of the models; None gives nothing.
    """
    if n_parameters is None:
        return {}
    query = (
        select(Evaluation.task, Evaluation.seconds, Evaluation.n)
        .join(Model, Model.id == Evaluation.model_id)
        .where(
            Evaluation.suite == suite,
            Evaluation.seconds > 0,
            Evaluation.n > 0,
            Model.n_parameters.between(n_parameters / SAME_SIZE, n_parameters * SAME_SIZE),
        )
    )
    found: dict[str, list[tuple[int, float]]] = defaultdict(list)
    with session() as opened:
        for task, seconds, n in opened.execute(query):
            if task in items:
                found[str(task)].append((int(n), float(seconds)))
    told = {}
    for task, times in found.items():
        # what a task costs besides its items weighs more in a run of few: take the like
        like = min((abs(n - items[task]) for n, _ in times))
        near = [(n, seconds) for n, seconds in times if abs(n - items[task]) == like]
        told[task] = median(seconds / n * items[task] for n, seconds in near)
    return told


def of_like_models(n_parameters: int | None) -> tuple[float, int] | None:
    """Seconds an item of the scored models nearest in size, whatever they were asked.

    Returns:
        The seconds, and the parameters of those models; None where nothing was ever scored here.
    """
    if n_parameters is None:
        return None
    query = (
        select(Model.n_parameters, func.sum(Evaluation.seconds), func.sum(Evaluation.n))
        .join(Evaluation, Model.id == Evaluation.model_id)
        .where(Evaluation.seconds > 0, Evaluation.n > 0, Model.n_parameters > 0)
        .group_by(Model.n_parameters)
    )
    with session() as opened:
        rows = [(int(p or 0), float(s), int(n)) for p, s, n in opened.execute(query)]
    if not rows:
        return None
    size, seconds, n = min(rows, key=lambda row: abs(math.log(row[0] / n_parameters)))
    return seconds / n, size


def cores() -> int:
    """CPU cores that jobs may use, on all nodes of a cluster where one is set."""
    if settings.ray_address() and (nodes := places.known()):
        return sum(node.cores for node in nodes)
    return int(os.environ.get("CRUCIBLE_THREADS") or os.cpu_count() or 1)


def free_memory() -> int:
    """Bytes that programs can still have."""
    import psutil

    return int(psutil.virtual_memory().available)
