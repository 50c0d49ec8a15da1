"""Studies through the queue on the shipped models: nothing is lost, nothing is done twice."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from db import settings
from db.engine import close_databases, session, transaction
from db.queries import jobs as job_rows
from db.queries import models as model_rows
from db.queries import studies as study_rows
from db.tables import Answer, Evaluation, ItemList, Job, PointScore, StudyPoint
from jobs import kinds
from jobs.models import registry
from jobs.running import prepare, queue
from jobs.running.record import Recorder
from jobs.studies import prepare as study_prepare
from jobs.studies import record, reuse, state, submit
from merging.recipes.recipe import Recipe
from studies.design import Design
from studies.errors import StudyError
from studies.points import PREVIOUS, points_of
from tests.jobs.conftest import kill, wait_for

TASKS = ["sandbox_general_people", "sandbox_math_quantities"]
DESIGN: dict[str, Any] = {
    "name": "small",
    "base": "sandbox/base",
    "experts": {"finance": "sandbox/finance", "math": "sandbox/math"},
    "methods": [
        {"method": "task_arithmetic", "grid": {"scale": [0.4, 1.0]}},
        {"method": "ties", "grid": {"density": [0.5]}},
    ],
    "suite": "sandbox",
    "tasks": TASKS,
    "limit": 16,
}


@pytest.fixture
def family(home: Path) -> Iterator[Path]:
    registry.ensure_sandbox()
    before = torch.get_num_threads()
    yield home
    torch.set_num_threads(before)
    close_databases()


def design(**changes: Any) -> Design:
    return Design.from_mapping({**DESIGN, **changes})


def work(group: str, *, until: tuple[str, int] | None = None) -> list[str]:
    """Do a group's jobs here, as a worker does; return the kinds of the events of lanes.

    With `until` a lane is left behind its so many events of a kind, as by a kill: nothing more is
    said, and its job is put back into the queue.
    """
    seen: list[str] = []
    while (claimed := queue.claim("here", "cpu", group=group)) is not None:
        spec = prepare.complete(claimed)
        recorder = Recorder(replace(claimed, spec=spec))
        for event in kinds.find(claimed.kind)(spec):
            recorder.handle(event)
            if claimed.kind == "study":
                seen.append(event["kind"])
                if until is not None and seen.count(until[0]) >= until[1]:
                    queue.died(claimed, "killed")
                    return seen
        queue.finish(claimed, "done", result=recorder.outcome())
    return seen


def table(study_id: int) -> dict[str, Any]:
    """All that a study says in the end, without times and row numbers."""
    with session() as opened:
        points = opened.scalars(select(StudyPoint).where(StudyPoint.study_id == study_id)).all()
        found: dict[str, Any] = {
            one.key: (one.stage, one.position, one.state, one.error, one.recipe_hash, {})
            for one in points
        }
        keys = {one.id: one.key for one in points}
        for row in opened.scalars(select(PointScore).where(PointScore.point_id.in_(keys))):
            columns = [column.name for column in PointScore.__table__.columns]
            left_out = ("id", "point_id", "seconds", "created")
            values = {name: getattr(row, name) for name in columns if name not in left_out}
            found[keys[row.point_id]][-1][row.task] = values
    return found


def rows_of_scores() -> list[tuple[int, float]]:
    with session() as opened:
        return [tuple(row) for row in opened.execute(select(PointScore.id, PointScore.created))]


def test_a_study_is_done_once(family: Path) -> None:
    study_id, group = submit.submit(design())
    planned = state.progress(study_id)
    assert (planned["state"], planned["points"]["total"]) == ("waiting", 9)
    assert planned["parents"] == {"total": 3, "done": 0, "failed": 0}
    seen = work(group)
    assert seen.count("point") == seen.count("point_begun") == 9
    told = state.progress(study_id)
    assert told["state"] == "done"
    assert told["points"] == {"total": 9, "done": 9, "failed": 0, "running": 0}
    assert told["stages"]["2"] == {"total": 3, "done": 3, "failed": 0, "running": 0}

    results = state.load(study_id)
    assert [task.name for task in results.tasks] == TASKS
    assert set(results.parents) == {"base", "finance", "math"}
    assert results.has_split and all(task.n == 16 for task in results.tasks)
    assert {task.name: task.chance for task in results.tasks} == {TASKS[0]: 0.25, TASKS[1]: 0.0}
    assert results.similarity is not None and ("finance", "math") in results.similarity
    with session() as opened:  # a parent's scores are what its evaluation says, item by item
        query = select(Answer.score).join(Evaluation, Evaluation.id == Answer.evaluation_id)
        query = query.where(Evaluation.task == TASKS[0], Evaluation.model_id == 2)
        answers = list(opened.scalars(query.order_by(Answer.doc_id)))
    assert results.parents["finance"].items[TASKS[0]].tolist() == answers

    # Submitted again it goes on, and there is nothing to go on with.
    before = rows_of_scores()
    again, group = submit.submit(design())
    assert again == study_id
    assert "point" not in work(group)
    assert {job.stage for job in job_rows.group(group) if job.kind == "evaluate"} == {
        "Already scored"
    }
    # A larger grid under the same name: what is there stays, row by row.
    more = [{"method": "task_arithmetic", "grid": {"scale": [0.4, 0.7, 1.0]}}, DESIGN["methods"][1]]
    _, group = submit.submit(design(methods=more))
    assert work(group).count("point") == 3
    assert rows_of_scores()[: len(before)] == before
    assert state.progress(study_id)["points"]["done"] == 12

    # The same merges in another study are copied, those of a new grid value are not.
    other, group = submit.submit(design(name="other", stages=[1]))
    assert "point" not in work(group)
    assert {one.copied for one in study_rows.points(other)} == {True}
    mine = {key: row[-1] for key, row in table(study_id).items()}
    assert all(row[-1] == mine[key] for key, row in table(other).items())
    submit.remove(study_id)
    assert study_rows.study(study_id) is None and len(study_rows.points(other)) == 6
    with session() as opened:
        assert opened.scalar(select(func.count()).select_from(PointScore)) == 12
        left = set(opened.scalars(select(ItemList.hash)))
    assert study_rows.sources_key(study_id) not in left and len(left) >= 2
    submit.remove(other)
    with session() as opened:
        assert opened.scalar(select(func.count()).select_from(ItemList)) == 0
        assert opened.scalar(select(func.count()).select_from(Evaluation)) == 6  # the parents'


def test_what_a_point_answered_can_be_shown(family: Path) -> None:
    study_id, group = submit.submit(design(stages=[1], tasks=TASKS[1:]))
    work(group)
    key = study_rows.points(study_id)[0].key
    sheet = study_rows.sheet(study_id, key, TASKS[1])
    number, doc, score, said = sheet[3]
    told = study_rows.answers(study_id, TASKS[1], number)
    assert told[0].key == key and (told[0].extracted, told[0].score) == (said, score)
    assert told[0].state in ("right", "wrong", "missing", "truncated")
    assert (told[0].state == "right") is (score == 1.0)
    with session() as opened:
        asked = opened.scalar(
            select(Answer.doc_hash).where(Answer.doc_id == number).limit(1)
        )  # the parents were asked the same document
    assert asked == doc
    assert study_rows.answers(study_id, TASKS[1], 999) == []
    assert study_rows.sheet(study_id, "none", TASKS[1]) == []


@pytest.mark.parametrize(("landed", "left"), [(5, 4), (6, 3)])
def test_a_lane_left_in_the_middle_begins_where_it_was(
    landed: int, left: int, family: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left behind the first of a point's two tasks, and behind the last, before it is told."""
    monkeypatch.setattr("studies.lane.LAND_SECONDS", 0.0)
    whole, group = submit.submit(design(name="whole", stages=[1]))
    work(group)
    expected = table(whole)
    submit.remove(whole)
    study_id, group = submit.submit(design(stages=[1]))
    first = work(group, until=("point_scores", landed))
    assert first.count("point") == 2
    states = [one.state for one in study_rows.points(study_id)]
    assert (states.count("running"), states.count("done")) == (1, 2)
    before = rows_of_scores()
    second = work(group)
    assert second.count("point") == left
    assert table(study_id) == expected
    assert set(before) <= set(rows_of_scores())


def lane_process(job_id: int) -> int | None:
    """The process of a job's newest attempt, as its log tells."""
    path = settings.log_path(job_id)
    found = re.findall(r"--- .* process (\d+)", path.read_text()) if path.exists() else []
    return int(found[-1]) if found else None


def test_a_killed_lane_and_a_stopped_study_end_in_the_same_tables(
    family: Path, start_worker: Callable[..., subprocess.Popen[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("CRUCIBLE_WARM", "1")
    asked = design(methods=[{"method": "task_arithmetic", "grid": {"scale": [0.2, 0.4, 0.7, 1.0]}}])
    whole, group = submit.submit(asked)
    work(group)
    expected = table(whole)
    submit.remove(whole)
    with transaction() as opened:  # the same study from the beginning, parents included
        opened.query(Evaluation).delete()

    start_worker()
    study_id, group = submit.submit(asked)

    def done() -> int:
        return sum(one.state == "done" for one in study_rows.points(study_id))

    def running() -> list[job_rows.JobRow]:
        jobs = job_rows.group(group)
        return [one for one in jobs if one.kind == "study" and one.state == "running"]

    def ended() -> bool:
        return not any(one.open for one in job_rows.group(group))

    wait_for(lambda: done() >= 2 and running(), seconds=300)
    victim = running()[0].id
    pid = lane_process(victim)
    assert pid is not None
    kill(pid)
    wait_for(lambda: job_rows.job(victim).attempt >= 2, seconds=300)  # type: ignore[union-attr]
    wait_for(lambda: done() >= 5, seconds=300)
    submit.stop(study_id)
    wait_for(ended, seconds=300)
    assert state.progress(study_id)["points"]["running"] == 0
    if done() < 12:
        assert state.progress(study_id)["state"] == "stopped"
    group = submit.resume(study_id)
    wait_for(ended, seconds=300)
    assert table(study_id) == expected


def test_a_point_that_kills_its_process_is_left_out_until_somebody_resumes(family: Path) -> None:
    study_id, group = submit.submit(design(stages=[1]))
    for _ in range(study_prepare.MOST_STARTS):
        work(group, until=("point_begun", 1))
    work(group)
    points = study_rows.points(study_id)
    assert [one.state for one in points].count("failed") == 1
    (failed,) = [one for one in points if one.state == "failed"]
    assert failed.error == study_prepare.KILLED
    assert state.load(study_id).failed == {failed.key: failed.error}
    assert state.progress(study_id)["points"] == {
        "total": 6, "done": 5, "failed": 1, "running": 0,
    }  # fmt: skip
    group = submit.resume(study_id)
    assert work(group).count("point") == 1
    assert state.progress(study_id)["points"]["done"] == 6


def test_a_parent_that_vanished_costs_its_points(family: Path) -> None:
    study_id, group = submit.submit(design(stages=[1]))
    with transaction() as opened:
        row = opened.query(registry.Model).filter_by(name="sandbox/math").one()
        there, row.source = row.source, "/nowhere/at/all"
    with pytest.raises(Exception, match="/nowhere/at/all"):
        work(group)  # the parent's own evaluation
    with transaction() as opened:
        opened.query(Job).filter(Job.kind == "evaluate", Job.state == "running").update(
            {"state": "failed"}
        )
    work(group)
    by_state = {one.key: (one.state, one.error) for one in study_rows.points(study_id)}
    assert sorted(found for found, _ in by_state.values()) == ["done"] * 3 + ["failed"] * 3
    assert all("/nowhere/at/all" in str(e) for s, e in by_state.values() if s == "failed")
    results = state.load(study_id)
    assert len(results.points) == 3 and len(results.failed) == 3
    with transaction() as opened:
        opened.query(registry.Model).filter_by(name="sandbox/math").one().source = there
    work(submit.resume(study_id))
    assert state.progress(study_id)["points"]["done"] == 6


def test_the_best_is_carried_and_instructed(family: Path) -> None:
    asked = design(
        carry="best", instruct="sandbox/instruct", stages=[1, 2, "instruct"],
        instruct_stage={"alpha": [0.5, 1.0]}, limit=8,
    )  # fmt: skip
    study_id, group = submit.submit(asked)
    assert state.progress(study_id)["points"]["total"] == 6 + 2 + 6
    work(group)
    points = study_rows.points(study_id)
    assert [one.stage for one in points] == ["1"] * 6 + ["2"] * 2 + ["instruct"] * 6
    results = state.load(study_id)
    search = {one.key: results.macro(one, "search") for one in results.points}
    merges = [one for one in points if one.stage != "instruct"]
    best = max(merges, key=lambda one: (search[one.key], -len(one.point["constituents"])))
    on = {one.point["on"] for one in points if one.stage == "instruct"} - {None}
    assert len(on) == 1 and search[on.pop()] == search[best.key]
    below = [one for one in points if one.point["on"]][0]
    steps = submit.recipes_of(study_id, below.key)
    if len(steps) == 2:
        assert PREVIOUS in Recipe.from_yaml(steps[1]).references
        with pytest.raises(StudyError, match="two merges"):
            submit.recipe_of(study_id, below.key)


def test_a_point_becomes_a_folder(family: Path) -> None:
    asked = design(stages=[2], tasks=TASKS[:1], limit=None, split=None)
    study_id, group = submit.submit(asked)
    work(group)
    key = study_rows.points(study_id)[0].key
    group = submit.materialise(study_id, key, "pair")
    assert [job.kind for job in job_rows.group(group)][:2] == ["merge", "evaluate"]
    recipe = Recipe.from_yaml(submit.recipe_of(study_id, key))
    with transaction() as opened:  # (the whole suite would take its time)
        for job in opened.scalars(select(Job).where(Job.group == group, Job.kind == "evaluate")):
            job.spec = {**job.spec, "tasks": TASKS[:1]}
    work(group)
    row = model_rows.model("pair")
    assert row is not None and row.recipe_hash == recipe.hash
    with session() as opened:
        query = select(Evaluation).where(Evaluation.model_id == row.id)
        (evaluation,) = opened.scalars(query)
        query = select(Answer.score).where(Answer.evaluation_id == evaluation.id)
        scores = list(opened.scalars(query.order_by(Answer.doc_id)))
    point = state.load(study_id).points[0]
    assert point.items[TASKS[0]].tolist() == scores  # the folder scores as the point did
    # a study in which the same merge is a point takes the folder's scores
    with transaction() as opened:
        opened.query(StudyPoint).delete()
    other, _ = submit.submit(Design.from_mapping({**asked.to_mapping(), "name": "other"}))
    (again,) = [one for one in study_rows.points(other) if one.key == key]
    assert again.state == "done" and again.copied
    (taken,) = [one for one in state.load(other).points if one.key == key]
    assert taken.items[TASKS[0]].tolist() == scores
    with pytest.raises(StudyError, match="no point nothing"):
        submit.recipe_of(study_id, "nothing")


def test_two_merges_become_two_folders(family: Path) -> None:
    first = Recipe(method="ties", base="sandbox/base",
                   models=[{"model": "sandbox/finance"}, {"model": "sandbox/math"}])  # fmt: skip
    models = [{"model": PREVIOUS, "fingerprint": first.hash},
              {"model": "sandbox/instruct", "role": "instruct"}]  # fmt: skip
    last = Recipe(method="instruction_residual", base="sandbox/base", models=models)
    from jobs.studies.folders import merge_steps

    steps = [first.to_yaml(), last.to_yaml()]
    assert reuse.over_first(steps) is None and reuse.made(steps) is None
    group = merge_steps(steps, "both", suite="sandbox", limit=2)
    with transaction() as opened:
        for job in opened.scalars(select(Job).where(Job.group == group, Job.kind == "evaluate")):
            job.spec = {**job.spec, "tasks": TASKS[:1]}
    work(group)
    below, both = model_rows.model("both-below"), model_rows.model("both")
    assert below is not None and both is not None
    assert [one.name for one in both.parents] == ["sandbox/base", "both-below", "sandbox/instruct"]
    with session() as opened:
        found = opened.scalars(select(Evaluation.model_id)).all()
    assert list(found) == [both.id]
    # from now on the second has a recipe of its own, which is what was made
    second = reuse.over_first(steps)
    assert second is not None and "both-below" in second.references
    made = reuse.made(steps)
    assert made is not None and made.name == "both"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"limit": 8}, "another limit"),
        ({"split": None}, "another split"),
        ({"experts": {"finance": "sandbox/japanese", "math": "sandbox/math"}}, "as finance"),
        ({"suite": "general"}, "another suite|suite"),
    ],
)
def test_another_study_under_the_same_name_is_refused(
    changes: dict[str, Any], words: str, family: Path
) -> None:
    submit.submit(design())
    tasks = {"tasks": None} if "suite" in changes else {}
    with pytest.raises(StudyError, match=words):
        submit.submit(design(**{**changes, **tasks}))


def test_what_is_not_there_is_told(family: Path) -> None:
    for call in (state.load, state.progress, submit.stop, submit.resume):
        with pytest.raises(StudyError, match="no study number 7"):
            call(7)  # type: ignore[operator]
    assert study_rows.study("nobody") is None and study_rows.studies() == []


def test_events_of_a_point_that_is_gone_change_nothing(family: Path) -> None:
    study_id, _ = submit.submit(design(stages=[1]))
    with transaction() as opened:
        event = {"kind": "point_error", "key": "gone", "text": "x"}
        record.record(opened, event, {"study_id": study_id})
        assert opened.query(StudyPoint).filter_by(state="failed").count() == 0


def test_a_lane_of_a_removed_study_does_not_write_into_the_next(family: Path) -> None:
    first, group = submit.submit(design(stages=[1]))
    (job, *_) = [one for one in job_rows.group(group) if one.kind == "study"]
    submit.remove(first)
    second, _ = submit.submit(design(stages=[1]))
    assert second == first  # SQLite gives a number again
    key = study_rows.points(second)[0].key
    with transaction() as opened:
        for kind in ("point_begun", "point_error"):
            record.record(opened, {"kind": kind, "key": key, "text": "x"}, job.spec)
        record.record(opened, {"kind": "point_sources", "sources": {"t": []}}, job.spec)
    assert {one.state for one in study_rows.points(second)} == {"planned"}
    assert study_rows.sources(second) == {}
    with pytest.raises(StudyError, match="was removed"):
        study_prepare.complete(job.spec)


@given(lanes=st.integers(1, 5), scales=st.integers(1, 5), densities=st.integers(1, 4))
def test_lanes_part_the_points_and_not_what_they_share(
    lanes: int, scales: int, densities: int
) -> None:
    grid = {"density": [0.1 * (i + 1) for i in range(densities)],
            "scale": [0.2 * (i + 1) for i in range(scales)]}  # fmt: skip
    points = points_of(design(methods=[{"method": "ties", "grid": grid}]), "1")
    parts = [study_prepare.share(points, lane, lanes) for lane in range(lanes)]
    assert [point.key for part in parts for point in part] == [point.key for point in points]
    runs = [{(p.constituents, p.options["density"]) for p in part} for part in parts]
    assert sum(map(len, runs)) == len(set().union(*runs))  # none is parted
    assert max(map(len, parts)) - len(points) / lanes <= scales


def test_recipes_of_two_steps_are_one_text() -> None:
    one = Recipe(method="ties", base="b", models=[{"model": "x"}]).to_yaml()
    two = Recipe(method="task_arithmetic", base="b", models=[{"model": "y"}]).to_yaml()
    parts = record.split(record.join([one, two]))
    assert [Recipe.from_yaml(part).method for part in parts] == ["ties", "task_arithmetic"]
    assert record.split(record.join([one])) == [one]


def test_small_models_get_a_lane_for_each_core(
    family: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    known = {name: model_rows.model(f"sandbox/{name}") for name in ("base", "finance")}
    assert submit.lanes(design(), known) == (4, True)  # type: ignore[arg-type]
    large = {"base": replace(known["base"], n_parameters=10**9)}  # type: ignore[type-var]
    assert submit.lanes(design(), large) == (1, False)  # type: ignore[arg-type]
    unknown = {"base": replace(known["base"], n_parameters=None)}  # type: ignore[type-var]
    assert submit.lanes(design(), unknown) == (1, False)  # type: ignore[arg-type]
