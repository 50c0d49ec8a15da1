"""Results of other programs into the database: all of a file, or nothing of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import delete

from db.engine import transaction
from db.queries import models as model_rows
from db.queries.models import ModelRow
from db.tables import Evaluation, Model
from evaluation.exchange import given, reading
from evaluation.exchange.reading import Result
from jobs.errors import JobError
from jobs.models import describe, registry
from jobs.models import names as naming
from jobs.running.record import add_answers

__all__ = ["Imported", "Result", "read_path", "read_texts", "save", "suggested_model",
           "suggested_suite"]  # fmt: skip

OTHER_SUITE = "imported"
"""Where results stand whose tasks are of no suite of ours."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What came in."""

    model: str
    model_id: int
    suite: str
    source: str
    tasks: int
    answers: int
    notes: tuple[str, ...]


def read_path(path: str | Path) -> Result:
    """Understand a results file with the samples beside it, or a folder that holds one.

    Raises:
        ExchangeError: in one sentence.
    """
    return reading.read(given.from_path(Path(path)))


def read_texts(texts: Mapping[str, bytes]) -> Result:
    """Understand uploaded files by name.

    Raises:
        ExchangeError: in one sentence.
    """
    decoded = {}
    for name, content in texts.items():
        try:
            decoded[name] = content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise given.ExchangeError(f"{name} is not a text file (UTF-8).") from error
    return reading.read(given.from_texts(decoded))


def suggested_model(result: Result) -> str:
    """A name for the model of a result: as its file calls it, if no model here is called so."""
    taken = {row.name for row in model_rows.models(archived=True) if not _is_name_only(row)}
    last = result.model.rstrip("/").rsplit("/", 1)[-1]
    return naming.suggest(last or "imported", taken)


def suggested_suite(result: Result) -> str:
    """The suite that a result's tasks are of, or the one for all others."""
    from evaluation.suites import list_suites

    tasks = {one.task for one in result.tasks}
    shipped = [suite for suite in list_suites() if tasks <= set(suite.tasks)]
    named = [suite.name for suite in shipped if suite.name == result.suite]
    fits = named or [suite.name for suite in shipped]
    return fits[0] if fits else (result.suite or OTHER_SUITE)


def save(
    result: Result, *, model: str | None = None, suite: str | None = None, known: bool = False
) -> Imported:
    """Write a result's scores as rows that say where they came from.

    Their configuration names its source, so its hash is never that of a score taken here: the two
    are shown beside each other and never averaged or paired. The same file again takes the place
    of its first import.

    Args:
        result: from `read_path` or `read_texts`.
        model: whose scores they are. A new name registers a model without a folder; by default
            the file's own name for it.
        suite: where they stand; default the suite whose tasks they are, else "imported".
        known: the user says that they are of the registered model of that name.

    Raises:
        JobError: the name is a registered model's and `known` was not said, or the other way
            round.
    """
    name = model or suggested_model(result)
    there = model_rows.model(name)
    if there is not None and not known and not _is_name_only(there):
        raise JobError(f"There is a model “{name}” already: say that the scores are of that very "
                       "model, or choose another name.")  # fmt: skip
    if there is None and known:
        raise JobError(registry.missing(name))
    if there is None:
        name = naming.check(name)
    suite = (suite or suggested_suite(result)).strip()[:80]
    domains = _domains(suite)
    with transaction() as opened:
        row = opened.get_one(Model, there.id) if there else registry.add_row(opened, name, {
            "role": describe.guess_role(name, None), "domain": describe.guess_domain(name),
            "note": f"Scores imported from {result.source}; the model itself is not here.",
        })  # fmt: skip
        fingerprint = row.fingerprint or OTHER_SUITE
        for task in result.tasks:
            hashed = _hash(task.config)
            opened.execute(delete(Evaluation).where(
                Evaluation.model_id == row.id, Evaluation.model_fingerprint == fingerprint,
                Evaluation.suite == suite, Evaluation.task == task.task,
                Evaluation.config_hash == hashed,
            ))  # fmt: skip
            evaluation = Evaluation(
                model_id=row.id, model_fingerprint=fingerprint, suite=suite, task=task.task,
                domain=domains.get(task.task, "other"), task_version=task.task_version[:40],
                metric=task.metric[:60], value=task.value, stderr=task.stderr, n=task.n,
                config=task.config, config_hash=hashed, prompts_hash=task.prompts_hash,
                seconds=0.0, created=time.time(), missing=task.missing, truncated=task.truncated,
                higher_is_better=task.higher_is_better, left_out=task.left_out,
            )  # fmt: skip
            opened.add(evaluation)
            opened.flush()
            add_answers(opened, evaluation.id, task.answers)
        model_id = row.id
    return Imported(name, model_id, suite, result.source, len(result.tasks),
                    sum(len(task.answers) for task in result.tasks), result.notes)  # fmt: skip


def _is_name_only(row: ModelRow) -> bool:
    """Whether a model is known by imported scores alone."""
    return not row.source and row.recipe_yaml is None


def _hash(config: Mapping[str, Any]) -> str:
    from evaluation.configs import config_hash

    return config_hash(config)


def _domains(suite: str) -> dict[str, str]:
    from evaluation.errors import SuiteError
    from evaluation.suites import load_suite

    try:
        loaded = load_suite(suite)
    except SuiteError:
        return {}
    return {task: loaded.domain(task) for task in loaded.tasks}
