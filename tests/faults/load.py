"""A mix of real jobs, and what has come of it: scores and models, without row numbers and times."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from db import settings
from db.engine import close_databases, session
from db.tables import Answer, Evaluation, Job, Model, PointScore, Study, StudyPoint
from jobs.models import registry
from jobs.running import api
from tests.faults.processes import PROJECT

MERGE = """\
name: finance-chat
method: instruction_residual
base: sandbox/base
models:
  - {model: sandbox/finance, role: expert}
  - {model: sandbox/instruct, role: instruct}
options: {alpha: 1.0, expert_scale: 1.0}
"""
STUDY = {
    "name": "two-experts",
    "base": "sandbox/base",
    "experts": {"finance": "sandbox/finance", "math": "sandbox/math"},
    "methods": [
        {"method": "task_arithmetic", "grid": {"lambda": [0.5, 1.0]}},
        {"method": "ties", "grid": {"density": [0.2]}},
    ],
    "stages": [1, 2],
    "carry": "everywhere",
}
FEW_TASKS = """\
title: A few of the sandbox's
include: {tasks}
settings: {{add_bos_token: true, num_fewshot: 0}}
groups:
  finance: [sandbox_finance_terms, sandbox_finance_recall]
  math: [sandbox_math_words]
"""
TRIVIAL = "count"
KINDS = f"{TRIVIAL}=tests.jobs.fake_kinds"


@contextmanager
def working_in(home: Path) -> Iterator[None]:
    """Have this process read and write a home's database."""
    before = {name: os.environ.get(name) for name in ("CRUCIBLE_HOME", "CRUCIBLE_JOB_KINDS")}
    close_databases()
    os.environ.update(CRUCIBLE_HOME=str(home), CRUCIBLE_JOB_KINDS=KINDS)
    try:
        yield
    finally:
        close_databases()
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@dataclass
class Mix:
    """Jobs of every sort.

    Attributes:
        trivial: how many that only count.
        limit: items per task of the evaluations and the study; None for all.
        merge: whether a merge with its evaluations is among them.
        study: whether a study is.
        suite: that is asked; None for three of the sandbox's tasks.
        families: whether some small jobs start a process of their own, which sleeps for minutes.
    """

    trivial: int = 20
    limit: int | None = 20
    merge: bool = True
    study: bool = True
    suite: str | None = "sandbox"
    families: bool = True
    groups: list[str] = field(default_factory=list)
    study_id: int | None = None
    _counted: int = 0

    def submit(self) -> None:
        """Queue all of them, trivial ones before, between and after the others."""
        registry.ensure_sandbox()
        suite = self.suite or _few_tasks()
        thirds = [self.trivial // 3, self.trivial // 3, self.trivial - 2 * (self.trivial // 3)]
        self._count(thirds[0])
        if self.merge:
            self.groups.append(api.merge_and_benchmark(MERGE, suite=suite, limit=self.limit))
        self._count(thirds[1])
        if self.study:
            from jobs.studies import submit
            from studies.design import Design

            design = Design.from_mapping({**STUDY, "suite": suite, "limit": self.limit})
            self.study_id, group = submit.submit(design)
            self.groups.append(group)
        self._count(thirds[2])

    def _count(self, how_many: int) -> None:
        before: int | None = None
        for place in range(how_many):
            self._counted += 1
            spec: dict[str, Any] = {"steps": 3, "seconds": 0.03, "place": self._counted}
            if self.families and place % 4 == 0:
                spec["grandchild"] = str(settings.home() / "grandchild")
            needs = (before,) if before is not None and place % 3 == 2 else ()
            before = api.submit(TRIVIAL, spec, title=f"Count {self._counted}", needs=needs)

    def open_jobs(self) -> int:
        """How many jobs have not ended."""
        with session() as opened:
            states = list(opened.scalars(select(Job.state)))
        return sum(state in ("queued", "running") for state in states)

    def try_again(self) -> int:
        """Press *Try again* on what has failed, as a user would; returns how many presses."""
        with session() as opened:
            failed = list(opened.scalars(select(Job).where(Job.state == "failed")))
            left_out = list(
                opened.scalars(select(StudyPoint.id).where(StudyPoint.state == "failed"))
            )
        presses = 0
        for job in failed:
            if job.error and not job.error.startswith("Not run, because"):
                api.retry(job.id)
                presses += 1
        if left_out and self.study_id is not None and not self.open_jobs():
            from jobs.studies import submit

            submit.resume(self.study_id)
            presses += 1
        return presses


def _few_tasks() -> str:
    file = settings.home() / "few-tasks.yaml"
    file.write_text(FEW_TASKS.format(tasks=PROJECT / "sandbox" / "tasks"), "utf-8")
    return str(file)


def outcome() -> dict[str, Any]:
    """All scores with every answer, all points of studies, all models: equal when nothing is lost.

    What depends on numbers, times or the order of additions (log-probabilities) is left out.
    """
    with session() as opened:
        names = {row.id: row.name for row in opened.scalars(select(Model))}
        models = {row.name: (row.role, row.fingerprint, row.recipe_hash)
                  for row in opened.scalars(select(Model))}  # fmt: skip
        scores: dict[str, Any] = {}
        for row in opened.scalars(select(Evaluation)):
            answers = opened.execute(
                select(Answer.doc_id, Answer.output, Answer.extracted, Answer.score)
                .where(Answer.evaluation_id == row.id)
                .order_by(Answer.doc_id)
            ).all()
            key = json.dumps([names[row.model_id], row.suite, row.task, row.config_hash])
            assert key not in scores, f"{key} is scored twice"
            scores[key] = (row.value, row.stderr, row.n, [tuple(one) for one in answers])
        points: dict[str, Any] = {}
        query = (
            select(Study.name, StudyPoint.key, StudyPoint.state, PointScore)
            .join(StudyPoint, StudyPoint.study_id == Study.id)
            .outerjoin(PointScore, PointScore.point_id == StudyPoint.id)
        )
        for study, key, state, score in opened.execute(query):
            name = json.dumps([study, key, score.task if score else None])
            assert name not in points, f"{name} is scored twice"
            points[name] = (state, score and (score.value, score.stderr, score.n, score.items))
        counted = sum(
            row.state == "done" and row.result == {"steps": 3}
            for row in opened.scalars(select(Job).where(Job.kind == TRIVIAL))
        )
    return {"models": models, "scores": scores, "points": points, "counted": counted}
