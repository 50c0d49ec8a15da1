"""Ordinary evaluations of a search's models on one part of the items, and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from db.engine import session
from db.queries import answers
from db.queries.models import ModelRow
from db.tables import Evaluation
from evaluation.holdout import Part
from evaluation.published.folder import data_folder
from jobs import devices
from jobs.running import api
from jobs.scores import scored

if TYPE_CHECKING:
    from search.checks import Asked
    from search.design import SearchDesign


@dataclass(frozen=True)
class TaskScore:
    """A model's score on one task over one part of the items.

    Attributes:
        value: of the metric.
        items: (number, content's hash) -> score; empty where the metric is no mean of these.
        config_hash: scores that differ here are never compared.
    """

    value: float
    items: dict[tuple[int, str], float]
    config_hash: str


def parts(design: SearchDesign) -> tuple[Part, Part]:
    """The items for searching and those for reporting."""
    one = Part("search", design.split.seed, design.split.share)
    return one, one.other


def submit(
    row: ModelRow, design: SearchDesign, asked: Asked, part: Part, *, group: str, device: str,
    narrow: bool,
) -> int | None:  # fmt: skip
    """Queue one model's evaluation; None where all of it is there."""
    where = "cpu" if devices.devices() == ["cpu"] else device
    tasks = list(asked.tasks)
    if scored.is_complete(row.id, row.fingerprint, row.source, asked.suite.ref, limit=design.limit,
                          device=where, tasks=tasks, part=part):  # fmt: skip
        return None
    spec = {
        "model": row.name,
        "suite": asked.suite.ref,
        "suite_name": asked.suite.name,
        "limit": design.limit,
        "tasks": tasks,
        "device": device,
        "part": asdict(part),
        "data_dir": str(data_folder()),
        "refs": [],
        **({"narrow": True} if narrow else {}),
    }
    title = f"Score {row.name} on {asked.suite.name} ({part.name} part)"
    return api.submit("evaluate", spec, title=title, group=group)


def scores(
    row: ModelRow, design: SearchDesign, suite: str, tasks: Sequence[str], part: Part
) -> dict[str, TaskScore]:
    """Task -> the newest score of a model as it is now, over a part of the items.

    Args:
        row: of the model.
        design: of the search.
        suite: its suite's name.
        tasks: of which scores are wanted.
        part: of the items.
    """
    content = row.fingerprint if row.source else row.recipe_hash
    e = Evaluation
    query = (
        select(e.id, e.task, e.value, e.config_hash, e.config, e.n)
        .where(e.model_id == row.id, e.suite == suite, e.task.in_(list(tasks)))
        .where(e.model_fingerprint == content)
        .order_by(e.created)
    )
    stamp = part.stamp()
    found = {}
    with session() as opened:
        for number, task, value, config_hash, config, n in opened.execute(query):
            told = config or {}
            same = all(told.get(name) == one for name, one in stamp.items())
            if same and told.get("limit") == design.limit:
                found[task] = (number, float(value), config_hash, n)
    by_item = answers.scores_by_item(one[0] for one in found.values())
    told_scores = {}
    for task, (number, value, config_hash, _) in found.items():
        items = by_item.get(number, {})
        mean = sum(items.values()) / len(items) if items else None
        by_mean = mean is not None and abs(mean - value) < 1e-6
        told_scores[task] = TaskScore(value, items if by_mean else {}, config_hash)
    return told_scores
