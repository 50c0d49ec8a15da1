"""Which of a suite's tasks a model has been scored on already, under the same configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from db.engine import session
from db.tables import Evaluation
from jobs.kinds.unscored import Scored, done

if TYPE_CHECKING:
    from evaluation.holdout import Part

CPU_DTYPE = "float32"  # what `scoring.loading.scoring_dtype` says of every folder on a CPU


def of_model(model_id: int, suite_name: str) -> list[Scored]:
    """Everything a model was scored on in a suite, whatever its content was then."""
    query = select(Evaluation.model_fingerprint, Evaluation.task, Evaluation.config_hash)
    query = query.where(Evaluation.model_id == model_id, Evaluation.suite == suite_name)
    with session() as opened:
        return [(str(a), str(b), str(c)) for a, b, c in opened.execute(query)]


def is_complete(
    model_id: int,
    fingerprint: str | None,
    folder: str,
    suite: str,
    *,
    limit: int | None,
    device: str,
    tasks: Sequence[str] | None = None,
    part: Part | None = None,
) -> bool:
    """Whether it is certain, without loading torch, that a folder has nothing left to score."""
    from evaluation.suites import load_suite

    if device != "cpu" or fingerprint is None or not Path(folder).is_dir():
        return False
    there = of_model(model_id, load_suite(suite).name)
    if not there:
        return False
    _, left = done(there, fingerprint, suite, limit=limit, dtype=CPU_DTYPE, tasks=tasks, part=part)
    return not left
