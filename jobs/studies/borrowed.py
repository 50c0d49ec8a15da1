"""Points that are models already, and scored: their scores are taken over, not made again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.tables import Answer, Evaluation, Model
from jobs.studies import record
from studies.lane import compact

SAME = ("task", "domain", "metric", "value", "stderr", "n", "higher_is_better", "missing",
        "truncated", "config_hash", "prompts_hash", "seconds")  # fmt: skip


def from_models(
    opened: Session, points: Mapping[int, str], hashes: Mapping[str, str]
) -> dict[int, str]:
    """Copy scores of models that were merged by the same recipes under the same configuration.

    Args:
        opened: a transaction.
        points: number of a point -> hash of its recipe, tied to the content of its parents.
        hashes: task -> hash of the configuration wanted.

    Returns:
        Number of a point that has all its scores by it -> name of the model.
    """
    models = select(Model).where(Model.recipe_hash.in_(set(points.values())))
    by_recipe = {row.recipe_hash: row for row in opened.scalars(models) if row.fingerprint}
    found = {}
    for point_id, recipe in points.items():
        model = by_recipe.get(recipe)
        if model is None:
            continue
        query = select(Evaluation).where(
            Evaluation.model_id == model.id,
            Evaluation.model_fingerprint == model.fingerprint,
            Evaluation.config_hash.in_(set(hashes.values())),
        )
        known = {row.task: row for row in opened.scalars(query.order_by(Evaluation.id))
                 if hashes.get(row.task) == row.config_hash}  # fmt: skip
        if set(known) != set(hashes):
            continue  # its tasks are scored together
        for one in known.values():
            _copy(opened, point_id, one)
        found[point_id] = model.name
    return found


def _copy(opened: Session, point_id: int, one: Evaluation) -> None:
    rows = select(Answer).where(Answer.evaluation_id == one.id).order_by(Answer.doc_id)
    answers = [
        {"doc_id": row.doc_id, "doc_hash": row.doc_hash, "score": row.score,
         "extracted": row.extracted, "state": row.state}
        for row in opened.scalars(rows)
    ]  # fmt: skip
    asked: Sequence[Any] = [[answer["doc_id"], answer["doc_hash"]] for answer in answers]
    name = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
    record.add_list(opened, name, asked)
    opened.flush()
    score = {column: getattr(one, column) for column in SAME} | {"answers": answers}
    record.add_scores(opened, point_id, one.suite, [{**compact(score), "asked": name}])
