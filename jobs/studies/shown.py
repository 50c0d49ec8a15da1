"""What a page shows of a study: results, verdicts and pictures, each worked out once."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from db import settings
from db.queries import answers as answer_rows
from db.queries import studies as study_rows
from db.queries.answers import FullAnswer
from db.queries.studies import PointAnswer
from jobs.studies import state
from studies.points import Point

if TYPE_CHECKING:
    from studies.findings import Findings
    from studies.results import Results, Scored

Theme = Literal["light", "dark"]
Rows = list[dict[str, Any]]
_lock = threading.RLock()  # two tabs on one study work it out once


@dataclass(frozen=True)
class Best:
    """The merge that stands for what it merges, as chosen on the items for choosing.

    Attributes:
        stage: of the study.
        who: what is merged.
        key: of the point.
        label: of the point.
        method: of the point.
        options: of the point in words.
        score: mean over the tasks, on the reported items.
        best: name of its best constituent by mean score.
        best_score: of that.
        n: merges it was chosen from.
    """

    stage: str
    who: str
    key: str
    label: str
    how: str
    score: float | None
    best: str
    best_score: float | None
    n: int


@dataclass(frozen=True)
class Shown:
    """A point for people.

    Attributes:
        key: of the point.
        label: in words.
        stage: of the study.
        state: planned, running, done or failed.
        error: why it failed.
        seconds: merging and scoring.
        steps: its recipes as YAML.
        copied: whether its scores were taken from where the same merge had been scored before.
        on: key of the merge that it is made upon, where it is made in two steps.
        models: labels of the point and of its constituents, the point first; empty without scores.
        keys: of these.
        tasks: a row each: task, domain, metric, items, and a value under each label.
    """

    key: str
    label: str
    stage: str
    state: str
    error: str | None
    seconds: float | None
    steps: tuple[str, ...]
    copied: bool
    on: str | None
    models: tuple[str, ...]
    keys: tuple[str, ...]
    tasks: Rows


def results(study_id: int) -> Results:
    """Everything that is scored by now.

    Raises:
        StudyError: there is no such study.
    """
    with _lock:
        return _results(str(settings.home()), study_id, state.version(study_id))


@lru_cache(maxsize=3)
def _results(_home: str, study_id: int, _version: str) -> Results:
    return state.load(study_id)


def findings(study_id: int) -> Findings:
    """The verdicts on the papers' claims."""
    found = results(study_id)
    with _lock:
        return _findings(found)


@lru_cache(maxsize=3)
def _findings(found: Results) -> Findings:
    from studies.findings import findings as judge

    return judge(found)


def best(study_id: int) -> list[Best]:
    """For every pair, triple and so on, the merge chosen on the items for choosing."""
    from studies.analysis.chosen import picks

    found = results(study_id)
    with _lock:
        chosen = picks(found)
    shown = []
    for pick in chosen.values():
        point = pick.model.point
        if point is None:
            continue
        beside = [(one, found.macro(one)) for one in found.constituents(point)]
        known = [(one, score) for one, score in beside if score is not None]
        top = max(known, key=lambda pair: pair[1], default=None)
        who, how = parts(point)
        shown.append(
            Best(str(point.stage), who, pick.model.key, pick.model.label, how,
                 found.macro(pick.model), name_of(top[0]) if top else "–",
                 top[1] if top else None, pick.n)
        )  # fmt: skip
    return shown


def name_of(one: Scored) -> str:
    """How a model is called beside its merges: a parent by its place in the study."""
    return one.label if one.point is not None else one.key


def point(study_id: int, key: str) -> Shown | None:
    """A point with its recipe and its scores beside its constituents; None if there is none."""
    row = next((one for one in study_rows.points(study_id) if one.key == key), None)
    if row is None:
        return None
    from jobs.studies import submit

    told = Point.from_mapping(row.point)
    found = results(study_id)
    scored = found.model(key)
    models = [scored, *found.constituents(told)] if scored is not None else []
    seconds = None if row.seconds_score is None else row.seconds_score + (row.seconds_merge or 0.0)
    return Shown(
        key=key, label=told.label, stage=row.stage, state=row.state, error=row.error,
        seconds=seconds, steps=tuple(submit.recipes_of(study_id, key)), on=told.on,
        copied=row.copied,
        models=tuple(_distinct([name_of(one) for one in models])),
        keys=tuple(one.key for one in models), tasks=_tasks(found, models),
    )  # fmt: skip


def _distinct(names: list[str]) -> list[str]:
    return [f"{name} ({names[:i].count(name) + 1})" if name in names[:i] else name
            for i, name in enumerate(names)]  # fmt: skip


def _tasks(found: Results, models: list[Scored]) -> Rows:
    names = _distinct([name_of(one) for one in models])
    return [
        {"task": task.name, "domain": task.domain, "metric": task.metric, "items": task.n,
         **{name: found.score(one, task.name) for name, one in zip(names, models, strict=True)}}
        for task in found.tasks
    ] if models else []  # fmt: skip


def points(study_id: int) -> Rows:
    """A row for every point: key, stage, what, how, state, mean score, seconds."""
    found = results(study_id)
    macros = found.macros("report")
    rows = []
    for row in study_rows.points(study_id):
        who, how = _parts(row.key, Point.from_mapping(row.point))
        place = found.row.get(row.key)
        value = float(macros[place]) if place is not None else np.nan
        rows.append({
            "key": row.key, "stage": row.stage, "merge": who, "method": how,
            "score": value if np.isfinite(value) else None, "state": row.state,
            "seconds": row.seconds_score, "error": row.error or "",
        })  # fmt: skip
    return rows


_told: dict[str, tuple[str, str]] = {}


def _parts(key: str, one: Point) -> tuple[str, str]:
    """As `parts`; a key never means another point."""
    if key not in _told:
        if len(_told) > 50_000:
            _told.clear()
        _told[key] = parts(one)
    return _told[key]


def parts(one: Point) -> tuple[str, str]:
    """What is merged, and how: `finance + math`, `TIES, density 0.2`."""
    if one.stage != "instruct":
        who, _, how = one.label.partition(" · ")
        return who, how
    names = [name for name in one.constituents if name != "instruct"]
    who = "best merge" if one.on is not None else " + ".join(names)
    return f"{who} + instruct", one.label


def items(study_id: int, key: str, task: str) -> Rows:
    """Each item of a task: its number, and what the point and its constituents scored.

    Returns:
        `doc_id`, `reported` (whether it is an item for reporting), and a score under each model's
        key; sorted so that what the models differ on comes first.
    """
    found = results(study_id)
    scored = found.model(key)
    column = found.column.get(task)
    if scored is None or scored.point is None or column is None:
        return []
    models = [scored, *found.constituents(scored.point)]
    one = found.tasks[column]
    values = found.items(task)[[found.row[model.key] for model in models]]
    spread = np.nan_to_num(values[0] - np.nanmax(values[1:], axis=0)) if len(models) > 1 else (
        np.zeros(one.n)
    )  # fmt: skip
    order = np.argsort(-np.abs(spread), kind="stable")
    return [
        {"doc_id": one.items[i][0], "reported": bool(one.held_out[i]),
         **{model.key: _number(values[m, i]) for m, model in enumerate(models)}}
        for i in order
    ]  # fmt: skip


def said(study_id: int, key: str, task: str, doc_id: int) -> dict[str, Any] | None:
    """One item: prompt, target, and what the point and its constituents answered.

    Returns:
        `prompt`, `target`, and `answers`: a row each of `model`, `answer`, `score`, `state`. The
        text that a parent wrote is kept whole; of a point, what was extracted from it.
    """
    found = results(study_id)
    scored = found.model(key)
    if scored is None or scored.point is None:
        return None
    parents = _evaluations(study_id, task)
    full = {one.evaluation_id: one for one in answer_rows.item(parents.values(), doc_id)}
    points_said = {one.key: one for one in study_rows.answers(study_id, task, doc_id)}
    told: Rows = []
    for model in [scored, *found.constituents(scored.point)]:
        given: PointAnswer | FullAnswer | None
        if model.point is not None:
            given = points_said.get(model.key)
        else:
            given = full.get(parents.get(model.key, -1))
        answer = given.extracted if given is not None else None
        if isinstance(given, FullAnswer):
            answer = answer or given.output
        told.append({"model": name_of(model), "answer": answer,
                     "score": given and given.score, "state": given and given.state})  # fmt: skip
    first = next(iter(full.values()), None)
    return {"prompt": first.prompt if first else None, "target": first.target if first else None,
            "answers": told}  # fmt: skip


def _evaluations(study_id: int, task: str) -> dict[str, int]:
    """Parent -> number of its evaluation on a task."""
    from jobs.studies import parents, scores

    design = results(study_id).design
    hashes = _wanted(str(settings.home()), study_id, state.version(study_id))
    if task not in hashes:
        return {}
    found = scores.of_parents(design, parents.rows(design), {task: hashes[task]})
    ids = {name: cells[task].evaluation_id for name, cells in found.items() if task in cells}
    return {name: number for name, number in ids.items() if number is not None}


@lru_cache(maxsize=8)
def _wanted(_home: str, study_id: int, _version: str) -> Mapping[str, str]:
    from jobs.studies import scores

    return scores.wanted(state.design_of(state.get(study_id)), study_id)


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
