"""Studies as screens and commands show them: rows, counts, points, scores and what was answered."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, func, select

from db.engine import session
from db.packed import unpack_floats, unpack_json
from db.tables import ItemList, PointScore, Study, StudyPoint

STATES = ("planned", "running", "done", "failed")
LETTERS = {"r": "right", "w": "wrong", "m": "missing", "t": "truncated", "-": None}
RECENT = 24  # points that the present rate is told from


@dataclass(frozen=True, slots=True)
class StudyRow:
    """A study; counts are of the points that are known by now."""

    id: int
    name: str
    design: dict[str, Any]
    design_hash: str
    group: str | None
    note: str
    archived: bool
    created: float
    planned: int
    running: int
    done: int
    failed: int

    @property
    def n_points(self) -> int:
        """Points that are known by now; later stages may add to them."""
        return self.planned + self.running + self.done + self.failed


@dataclass(frozen=True, slots=True)
class PointRow:
    """A point without its recipe."""

    id: int
    key: str
    stage: str
    position: int
    point: dict[str, Any]
    recipe_hash: str
    state: str
    error: str | None
    seconds_merge: float | None
    seconds_score: float | None
    copied: bool
    created: float
    ended: float | None


@dataclass(frozen=True, slots=True)
class PointScoreRow:
    """A point's score on a task; `items` are float32 scores in the order of the list `asked`."""

    point_id: int
    task: str
    domain: str
    metric: str
    value: float
    stderr: float | None
    n: int
    higher_is_better: bool
    missing: float | None
    truncated: float | None
    config_hash: str
    prompts_hash: str
    asked: str
    items: array[float]


@dataclass(frozen=True, slots=True)
class PointAnswer:
    """What a point answered to one item."""

    key: str
    extracted: str | None
    state: str | None
    score: float


def studies(*, archived: bool = False) -> list[StudyRow]:
    """Every study, the newest first; archived ones only where they are asked for."""
    query = select(Study).order_by(Study.created.desc(), Study.id.desc())
    if not archived:
        query = query.where(Study.archived.is_(False))
    with session() as opened:
        rows = opened.scalars(query).all()
        counted = _counts([row.id for row in rows])
        return [_row(row, counted.get(row.id, {})) for row in rows]


def study(ref: int | str) -> StudyRow | None:
    """A study by its number or its name."""
    same = Study.id == ref if isinstance(ref, int) else Study.name == ref
    with session() as opened:
        row = opened.scalar(select(Study).where(same))
        return None if row is None else _row(row, _counts([row.id]).get(row.id, {}))


def of_group(group: str) -> StudyRow | None:
    """The study whose newest press made this group of jobs."""
    with session() as opened:
        found = opened.scalar(select(Study.id).where(Study.group == group))
    return None if found is None else study(int(found))


def points(study_id: int) -> list[PointRow]:
    """A study's points in the design's order."""
    columns = [getattr(StudyPoint, name) for name in PointRow.__slots__]
    query = select(*columns).where(StudyPoint.study_id == study_id)
    query = query.order_by(StudyPoint.position, StudyPoint.id)
    with session() as opened:
        return [PointRow(*row) for row in opened.execute(query)]


def counts(study_id: int) -> dict[str, dict[str, int]]:
    """Stage -> state -> number of points."""
    query = (
        select(StudyPoint.stage, StudyPoint.state, func.count())
        .where(StudyPoint.study_id == study_id)
        .group_by(StudyPoint.stage, StudyPoint.state)
    )
    found: dict[str, dict[str, int]] = {}
    with session() as opened:
        for stage, state, number in opened.execute(query):
            found.setdefault(stage, {})[state] = number
    return found


def recipe(study_id: int, key: str) -> str | None:
    """The recipe of a point; of two merges one upon the other two YAML documents."""
    query = select(StudyPoint.recipe_yaml)
    query = query.where(StudyPoint.study_id == study_id, StudyPoint.key == key)
    with session() as opened:
        return opened.scalar(query)


def scores(study_id: int, config_hashes: Iterable[str] | None = None) -> list[PointScoreRow]:
    """Every score of a study's points.

    Args:
        study_id: of the study.
        config_hashes: only scores under these configurations; None for all.
    """
    names = [name for name in PointScoreRow.__slots__ if name != "items"]
    columns = [getattr(PointScore, name) for name in names]
    query = (
        select(*columns, PointScore.items)
        .join(StudyPoint, StudyPoint.id == PointScore.point_id)
        .where(StudyPoint.study_id == study_id)
    )
    if config_hashes is not None:
        query = query.where(PointScore.config_hash.in_(list(config_hashes)))
    with session() as opened:
        return [
            PointScoreRow(**dict(zip(names, row, strict=False)), items=unpack_floats(row[-1]))
            for row in opened.execute(query)
        ]


def lists(hashes: Iterable[str]) -> dict[str, list[tuple[int, str]]]:
    """Hash -> (number of the document, its hash) of each item, in order."""
    query = select(ItemList.hash, ItemList.items).where(ItemList.hash.in_(set(hashes)))
    with session() as opened:
        return {
            name: [(int(number), str(doc)) for number, doc in unpack_json(packed)]
            for name, packed in opened.execute(query)
        }


def answers(study_id: int, task: str, doc_id: int) -> list[PointAnswer]:
    """What the points of a study answered to one item, in the design's order."""
    query = (
        select(StudyPoint.key, PointScore.asked, PointScore.items, PointScore.outputs)
        .join(PointScore, PointScore.point_id == StudyPoint.id)
        .where(StudyPoint.study_id == study_id, PointScore.task == task)
        .order_by(StudyPoint.position, StudyPoint.id)
    )
    with session() as opened:
        rows = opened.execute(query).all()
    asked = lists(row[1] for row in rows)
    found = []
    for key, name, items, outputs in rows:
        numbers = [number for number, _ in asked.get(name, [])]
        if doc_id in numbers:
            place, told = numbers.index(doc_id), unpack_json(outputs)
            state = LETTERS[told["states"][place]]
            score = unpack_floats(items)[place]
            found.append(PointAnswer(key, told["extracted"][place], state, score))
    return found


def sheet(study_id: int, key: str, task: str) -> list[tuple[int, str, float, str | None]]:
    """A point's answers to a task: number and hash of the document, score, what was answered."""
    query = (
        select(PointScore.asked, PointScore.items, PointScore.outputs)
        .join(StudyPoint, PointScore.point_id == StudyPoint.id)
        .where(StudyPoint.study_id == study_id, StudyPoint.key == key, PointScore.task == task)
        .order_by(PointScore.id.desc())
    )
    with session() as opened:
        row = opened.execute(query).first()
    if row is None:
        return []
    asked, told = lists([row[0]])[row[0]], unpack_json(row[2])["extracted"]
    return [
        (number, doc, score, said)
        for (number, doc), score, said in zip(asked, unpack_floats(row[1]), told, strict=True)
    ]


def recently_ended(study_id: int, since: float) -> list[float]:
    """When the last points were done that were scored after a moment, oldest first."""
    query = (
        select(StudyPoint.ended)
        .where(StudyPoint.study_id == study_id, StudyPoint.ended > since)
        .where(StudyPoint.state == "done", StudyPoint.copied.is_(False))
        .order_by(StudyPoint.ended.desc())
        .limit(RECENT)
    )
    with session() as opened:
        return sorted(float(moment or 0.0) for moment in opened.scalars(query))


def sources_key(study_id: int) -> str:
    """Under which name the sources of a study's items are kept, for `evaluation.holdout`."""
    return f"sources of study {study_id}"


def sources(study_id: int) -> dict[str, list[tuple[str, str | None]]]:
    """Task -> content and cluster of each of its documents; empty before the study has begun."""
    with session() as opened:
        found = opened.get(ItemList, sources_key(study_id))
        told = unpack_json(found.items) if found is not None else {}
    return {task: [(content, cluster) for content, cluster in rows] for task, rows in told.items()}


def _counts(study_ids: list[int]) -> dict[int, dict[str, int]]:
    columns = [
        func.sum(case((StudyPoint.state == state, 1), else_=0)).label(state) for state in STATES
    ]
    query = select(StudyPoint.study_id, *columns).where(StudyPoint.study_id.in_(study_ids))
    with session() as opened:
        rows = opened.execute(query.group_by(StudyPoint.study_id)).all()
    return {row[0]: dict(zip(STATES, map(int, row[1:]), strict=True)) for row in rows}


def _row(row: Study, counted: dict[str, int]) -> StudyRow:
    values: dict[str, Any] = {name: getattr(row, name, None) for name in StudyRow.__slots__}
    return StudyRow(**{**values, **{state: counted.get(state, 0) for state in STATES}})
