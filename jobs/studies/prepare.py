"""A lane's share of a stage, looked up when its process starts.

Which points a stage has may depend on scores that were not there when the study was submitted, and
which are left depends on what was done before: so both are asked of the database here, in the
worker. Nothing that is scored is ever given out again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from db.engine import transaction
from db.queries import studies as study_rows
from db.tables import Model, PointScore, Study, StudyPoint
from jobs.models import recipes, registry
from jobs.studies import borrowed, parents, record, scores, state
from studies.choice import choose
from studies.design import Design
from studies.errors import StudyError
from studies.points import Chosen, Point, points_of
from studies.stages import STAGES

if TYPE_CHECKING:
    from merging.recipes.recipe import Recipe

# A point that was begun so often and never ended is not begun again; each time with less in memory
# does not count.
MOST_STARTS = 2
ROOM = 100_000  # positions of a stage
KILLED = (
    "The process was killed each time this point was merged or scored, which is often for lack of "
    "memory. Free some and resume the study."
)
COPIED = ("suite", "task", "domain", "metric", "value", "stderr", "n", "higher_is_better",
          "missing", "truncated", "config_hash", "prompts_hash", "asked", "items", "outputs",
          "seconds")  # fmt: skip


def complete(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What a lane's process is given besides its spec.

    Args:
        spec: `study_id`, `stage`, `lane` (from 0), `lanes`, `device`, `halvings`.

    Raises:
        StudyError: the study is not there any more.
        SuiteError: its suite is not.
    """
    study_id, stage = int(spec["study_id"]), str(spec["stage"])
    row = state.get(study_id)
    if row.created != spec.get("study_created", row.created):
        raise StudyError("The study of this job was removed.")
    known = parents.rows(state.design_of(row))
    design = parents.pinned(state.design_of(row), known)
    hashes = scores.hashes(design, scores.dtype_here(design, str(spec.get("device", "auto"))))
    points = points_of(design, stage, chosen(study_id, design, stage))
    enter(study_id, design, points)
    copy_known(study_id, hashes)
    mine = share(points, int(spec["lane"]), int(spec["lanes"]))
    most_starts = MOST_STARTS + int(spec.get("halvings", 0))
    left = _left(study_id, [point.key for point in mine], hashes, most_starts)
    references = parents.references(design, known)
    return {
        "points": [
            {
                "key": point.key,
                "label": point.label,
                "steps": [recipe.to_yaml() for recipe in point.steps(design)],
                "tasks": left[point.key],
            }
            for point in mine
            if left.get(point.key)
        ],
        **recipes.sources_of(references),
        "known": registry.fingerprints(),
        "split": design.split is not None and not study_rows.sources(study_id),
        "limit": design.limit,
    }


def chosen(study_id: int, design: Design, stage: str) -> Chosen | None:
    """What the scores so far decide for a stage; None where nothing is to be decided."""
    if not design.is_carried(stage) and stage != STAGES[-1]:
        return None
    results = state.load(study_id)
    search = dict(zip([one.key for one in results.models], results.macros("search"), strict=True))
    known = [(one.point, float(search[one.key])) for one in results.points if one.point]
    return choose(design, stage, known)


def enter(study_id: int, design: Design, points: Sequence[Point]) -> None:
    """Put the points that are not there yet into the database, as planned.

    A point that waits gets its recipe anew: a parent may have become known meanwhile. All stand in
    the design's order, also after it was extended.
    """
    with transaction() as opened:
        study = opened.get_one(Study, study_id)
        if study.design != design.to_mapping():
            study.design = design.to_mapping()
        mine = StudyPoint.study_id == study_id
        query = select(StudyPoint.key, StudyPoint.state, StudyPoint.position).where(mine)
        rows = opened.execute(query).all()
        there, stood = ({row.key: row[i] for row in rows} for i in (1, 2))
        new = []
        for place, point in enumerate(points):
            position = STAGES.index(point.stage) * ROOM + place
            if stood.get(point.key, position) != position:
                moved = update(StudyPoint).where(mine, StudyPoint.key == point.key)
                opened.execute(moved.values(position=position))
            if there.get(point.key, "planned") != "planned":
                continue
            steps = point.steps(design)
            recipe = {
                "recipe_yaml": record.join([one.to_yaml() for one in steps]),
                "recipe_hash": steps[-1].hash,
            }
            if point.key in there:
                same = update(StudyPoint).where(mine, StudyPoint.key == point.key)
                opened.execute(same.values(**recipe))
                continue
            new.append({"study_id": study_id, "key": point.key, "stage": point.stage,
                        "position": position, "point": point.to_mapping(), **recipe})  # fmt: skip
        if new:
            opened.execute(insert(StudyPoint), new)


def copy_known(study_id: int, hashes: Mapping[str, str]) -> int:
    """Take scores of the same merges under the same configuration: of other studies, of models.

    Returns:
        How many points are done by it.
    """
    with transaction() as opened:
        mine, other = StudyPoint, StudyPoint.__table__.alias("other")
        query = (
            select(mine.id, mine.recipe_yaml, other.c.id)
            .join(other, other.c.recipe_hash == mine.recipe_hash)
            .where(mine.study_id == study_id, mine.state == "planned")
            .where(other.c.study_id != study_id, other.c.state == "done")
            .order_by(other.c.id)
        )
        done = set()
        for point_id, text, other_id in opened.execute(query).all():
            # Only a recipe that is tied to its parents' content is the same for certain.
            if point_id not in done and all(map(_is_pinned, record.split(text))):
                _copy(opened, point_id, other_id, hashes)
                if not _lacking(opened, [point_id], hashes)[point_id]:
                    done.add(point_id)
        done |= set(borrowed.from_models(opened, _single(opened, study_id, done), hashes))
        opened.execute(
            update(StudyPoint)
            .where(StudyPoint.id.in_(done))
            .values(state="done", copied=True, ended=time.time(), error=None)
        )
        return len(done)


def _single(opened: Session, study_id: int, but: set[int]) -> dict[int, str]:
    """Number of a point that waits -> hash of its recipe, of those that one recipe makes."""
    columns = (StudyPoint.id, StudyPoint.recipe_hash, StudyPoint.recipe_yaml)
    known = select(Model.recipe_hash).where(Model.recipe_hash.is_not(None))
    query = select(*columns).where(
        StudyPoint.study_id == study_id,
        StudyPoint.state == "planned",
        StudyPoint.recipe_hash.in_(known),
    )
    return {
        number: str(found)
        for number, found, text in opened.execute(query).all()
        if number not in but and len(record.split(text)) == 1 and _is_pinned(text)
    }


def share(points: Sequence[Point], lane: int, lanes: int) -> list[Point]:
    """A lane's points: about as many as every other's, and none that share a task vector apart.

    It depends on the points alone, not on what is done: lanes that start at different times, or
    again, never take the same point.
    """
    runs: list[list[Point]] = []
    for point in points:
        if not runs or _kind(runs[-1][-1]) != _kind(point):
            runs.append([])
        runs[-1].append(point)
    found: list[Point] = []
    before = 0
    for run in runs:
        # the lane in whose part of the whole the middle of the run lies
        if int((before + len(run) / 2) * lanes / len(points)) == lane:
            found += run
        before += len(run)
    return found


def _kind(point: Point) -> str:
    """What points of one combined task vector have in common."""
    below = point.merge or point
    options = {name: value for name, value in below.options.items() if name != "scale"}
    said = [point.stage, below.constituents, below.method, below.seed, options, point.on]
    return json.dumps(said, sort_keys=True)


def _left(
    study_id: int, keys: Sequence[str], hashes: Mapping[str, str], most_starts: int
) -> dict[str, list[str]]:
    """Point -> the tasks that it still has to be scored on; failed ones have none."""
    with transaction() as opened:
        query = select(StudyPoint).where(StudyPoint.study_id == study_id)
        rows = [row for row in opened.scalars(query) if row.key in set(keys)]
        lacking = _lacking(opened, [row.id for row in rows], hashes)
        found = {}
        for row in rows:
            if row.state == "running" and row.starts >= most_starts:
                row.state, row.error, row.ended = "failed", KILLED, time.time()
            if row.state == "failed" or (row.state == "done" and row.error):
                continue  # until somebody resumes the study
            if lacking[row.id]:
                found[row.key] = lacking[row.id]
            elif row.state != "done":
                row.state, row.ended = "done", time.time()
        return found


def _lacking(
    opened: Session, point_ids: Sequence[int], hashes: Mapping[str, str]
) -> dict[int, list[str]]:
    """Number of a point -> tasks without a score under the configuration wanted."""
    s = PointScore
    query = select(s.point_id, s.task, s.config_hash).where(s.point_id.in_(list(point_ids)))
    have: dict[int, set[str]] = {one: set() for one in point_ids}
    for point_id, task, config in opened.execute(query):
        if hashes.get(task) == config:
            have[point_id].add(task)
    return {one: [task for task in hashes if task not in have[one]] for one in point_ids}


def _copy(opened: Session, point_id: int, other_id: int, hashes: Mapping[str, str]) -> None:
    lacking = set(_lacking(opened, [point_id], hashes)[point_id])
    columns = [getattr(PointScore, name) for name in COPIED]
    query = select(*columns).where(PointScore.point_id == other_id)
    rows = [
        {"point_id": point_id, **dict(zip(COPIED, row, strict=True))}
        for row in opened.execute(query)
        if row.task in lacking and hashes[row.task] == row.config_hash
    ]
    if rows:
        opened.execute(insert(PointScore), rows)
        opened.flush()


def _is_pinned(text: str) -> bool:
    from merging.recipes.recipe import Recipe

    recipe: Recipe = Recipe.from_yaml(text)
    return recipes.is_pinned(recipe)
