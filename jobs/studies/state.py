"""A study as it stands: its scores as plain numbers, and how far it is."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from db.queries import jobs as job_rows
from db.queries import studies as study_rows
from db.queries.studies import StudyRow
from jobs.studies import parents, scores
from studies.design import Design
from studies.errors import StudyError
from studies.points import Point

if TYPE_CHECKING:
    from studies.results import Results, Scored

RATE_SECONDS = 900.0  # points that ended longer ago say nothing about the present rate


def get(study_id: int | str) -> StudyRow:
    """A study's row.

    Raises:
        StudyError: there is none.
    """
    row = study_rows.study(study_id)
    if row is None:
        said = f"number {study_id}" if isinstance(study_id, int) else f"“{study_id}”"
        raise StudyError(f"There is no study {said}.")
    return row


def design_of(row: StudyRow) -> Design:
    """A study's design, its models tied to the content they had when it was planned."""
    return Design.from_mapping(row.design)


def load(study_id: int) -> Results:
    """Everything that is scored by now.

    Raises:
        StudyError: there is no such study.
    """
    from studies.results import Results, Scored, reported_values

    row = get(study_id)
    design = design_of(row)
    known = parents.rows(design)
    hashes = scores.wanted(design, row.id)
    of_parents = scores.of_parents(design, known, hashes)
    of_points, asked = scores.of_points(row.id, hashes)
    masks = _held_out(row.id, design)
    tasks = scores.tasks_of(design, hashes, of_parents, of_points, asked, masks)

    def made(key: str, cells: Mapping[str, scores.Cell], **more: Any) -> Scored:
        items = {task.name: scores.lined_up(cells[task.name], task) for task in tasks
                 if task.name in cells}  # fmt: skip
        values = {task: cell.value for task, cell in cells.items()}
        errors = {task: cell.stderr for task, cell in cells.items() if cell.stderr is not None}
        told = reported_values(tasks, items, values)
        return Scored(key=key, items=items, values=told, stderrs=errors, **more)

    roles = {"base": "base", "instruct": "instruct"}
    scored_parents = {
        name: made(name, of_parents[name], label=known[name].name, role=roles.get(name, "expert"),
                   domain=None if name in roles else name, point=None)
        for name in design.models
        if of_parents.get(name)
    }  # fmt: skip
    rows = study_rows.points(row.id)
    scored_points = []
    for one in rows:
        point = Point.from_mapping(one.point)
        if one.state == "done" and one.id in of_points:
            scored_points.append(
                made(one.key, of_points[one.id], label=point.label, role="point", domain=None,
                     point=point)
            )  # fmt: skip
    similarity, cells = scores.similarity(design, known)
    return Results(
        design=design,
        tasks=tasks,
        parents=scored_parents,
        points=tuple(scored_points),
        failed={one.key: one.error or "" for one in rows if one.state == "failed"},
        planned=sum(design.counts().values()),
        similarity=similarity,
        cells=cells,
    )


def version(study_id: int) -> str:
    """Changes whenever `load` would give something else: what a page keeps results under."""
    row = get(study_id)
    jobs = job_rows.group(row.group) if row.group else []
    ended = [job.id for job in jobs if job.state == "done"]
    return json.dumps([row.id, row.design_hash, row.done, row.failed, ended])


def progress(study_id: int) -> dict[str, Any]:
    """How far a study is.

    Returns:
        `state` ("running", "waiting", "done", "stopped" or "failed"), `group`, `points`: {`total`,
        `done`, `failed`, `running`}, `stages`: stage -> the same, `parents`: {`total`, `done`,
        `failed`}, `rate` (points a second, None while unknown), `seconds_left` (likewise),
        `doing` (what runs now, a line each), `errors`: sentences of jobs that failed.
    """
    row = get(study_id)
    design = design_of(row)
    found = study_rows.counts(study_id)
    jobs = job_rows.group(row.group) if row.group else []
    open_jobs = [job for job in jobs if job.open]
    stages = {}
    for stage, expected in design.counts().items():
        states = found.get(stage, {})
        stages[stage] = {
            # A stage that depends on scores is planned only when they are there.
            "total": max(expected if not states else 0, sum(states.values())),
            **{state: states.get(state, 0) for state in ("done", "failed", "running")},
        }
        if not open_jobs:  # what a stopped lane had begun waits
            stages[stage]["running"] = 0
    total = {name: sum(one[name] for one in stages.values())
             for name in ("total", "done", "failed", "running")}  # fmt: skip
    scoring = [job for job in jobs if job.kind == "evaluate"]
    rate = _rate(row, jobs) if open_jobs else None
    left = total["total"] - total["done"] - total["failed"]
    return {
        "state": _state(jobs, left),
        "group": row.group,
        "points": total,
        "stages": stages,
        "parents": {
            "total": len(scoring),
            "done": sum(job.state == "done" for job in scoring),
            "failed": sum(job.state == "failed" for job in scoring),
        },
        "rate": rate,
        "seconds_left": left / rate if rate else None,
        "doing": [job.stage for job in open_jobs if job.state == "running"],
        "errors": list(dict.fromkeys(job.error for job in jobs if job.state == "failed"
                                     and job.error and job.attempt)),
    }  # fmt: skip


def _state(jobs: list[job_rows.JobRow], left: int) -> str:
    if any(job.state == "running" for job in jobs):
        return "running"
    if any(job.open for job in jobs):
        return "waiting"
    if left <= 0:
        return "done"
    return "failed" if any(job.state == "failed" for job in jobs) else "stopped"


def _rate(row: StudyRow, jobs: list[job_rows.JobRow]) -> float | None:
    """Points a second by the last ones that ended, over all lanes."""
    begun = [job.started for job in jobs if job.kind == "study" and job.started is not None]
    if not begun:
        return None
    since = max(min(begun), time.time() - RATE_SECONDS)
    ended = study_rows.recently_ended(row.id, since)
    if len(ended) < 2:
        return len(ended) / (time.time() - since) if ended else None
    # From the first of the last points to now: a rate that falls when nothing ends any more.
    return (len(ended) - 1) / max(time.time() - ended[0], 1e-6)


def _held_out(study_id: int, design: Design) -> dict[str, tuple[bool, ...]]:
    """Task -> for each document whether it is for reporting; empty without a split."""
    if design.split is None:
        return {}
    sources = study_rows.sources(study_id)
    text = json.dumps(sources, sort_keys=True)
    return _split(text, design.split.seed, design.split.share)


@lru_cache(maxsize=8)
def _split(sources: str, seed: int, share: float) -> dict[str, tuple[bool, ...]]:
    from evaluation.holdout import Source, split

    told = {task: [Source(*one) for one in rows] for task, rows in json.loads(sources).items()}
    return {
        task: tuple(not one for one in chosen) for task, chosen in split(told, seed, share).items()
    }
