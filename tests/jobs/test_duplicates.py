"""Asking twice leads to what is under way; nothing is done twice, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from db.queries import jobs as job_rows
from jobs import quickstart
from jobs.errors import JobError
from jobs.models import health, registry
from jobs.running import api, duplicates, identity, queue
from jobs.running.queue import Claim
from jobs.scores import judging
from tests.jobs.conftest import PROJECT, row

ME = identity.worker_id()


def press(**more: object) -> str:
    return api.merge_and_benchmark(quickstart.RECIPE, suite="sandbox", **more)  # type: ignore[arg-type]


def titles(group: str) -> list[str]:
    return [one.title for one in job_rows.group(group)]


def claim() -> Claim:
    found = queue.claim(ME, "cpu")
    assert found is not None
    return found


@pytest.fixture
def models(home: Path) -> Path:
    registry.ensure_sandbox()
    return home


def test_the_same_press_leads_to_the_same_jobs(models: Path) -> None:
    first = press()
    assert len(titles(first)) == 5
    assert press() == first
    assert press(name="finance-chat") == first  # its own name is no obstacle
    assert len(job_rows.recent()) == 5
    claim()  # also while it runs
    assert press() == first


def test_another_name_of_the_recipe_is_no_other_recipe(models: Path) -> None:
    first = press()
    renamed = quickstart.RECIPE.replace("name: finance-chat", "name: other")
    assert api.merge_and_benchmark(renamed, suite="sandbox") == first
    other = quickstart.RECIPE.replace("alpha: 1.0", "alpha: 0.9")
    assert api.merge_and_benchmark(other, suite="sandbox") != first


def test_another_suite_waits_for_the_merge_that_is_under_way(models: Path) -> None:
    first = press(with_parents=False)
    merge, _ = job_rows.group(first)
    second = api.merge_and_benchmark(
        quickstart.RECIPE, suite="sandbox", limit=3, with_parents=False
    )
    assert second != first and titles(second) == ["Score finance-chat on sandbox"]
    (scoring,) = job_rows.group(second)
    assert scoring.spec["merge_job"] == merge.id
    assert [one.id for one in job_rows.needed_by([scoring.id])[scoring.id]] == [merge.id]
    held = claim()
    assert held.job_id == merge.id
    queue.finish(held, "failed", error="No disk.")
    assert (
        row(scoring.id).error == f"Not run, because “Merge finance-chat” (job {merge.id}) failed."
    )


def test_what_is_shared_runs_for_a_group_alone_too(models: Path) -> None:
    first = press(with_parents=False)
    second = api.merge_and_benchmark(
        quickstart.RECIPE, suite="sandbox", limit=3, with_parents=False
    )
    held = queue.claim(ME, "cpu", group=second)
    assert held is not None and held.job_id == job_rows.group(first)[0].id
    queue.finish(held, "done", result={"model": "finance-chat"})
    held = queue.claim(ME, "cpu", group=second)
    assert held is not None and held.job_id == job_rows.group(second)[0].id
    assert queue.claim(ME, "cpu", group=second) is None


def test_a_model_that_is_being_scored_is_not_scored_twice(models: Path) -> None:
    first = api.benchmark(["sandbox/base"], "sandbox")
    assert api.benchmark(["sandbox/base"], "sandbox") == first
    assert api.benchmark(["sandbox/base"], "sandbox", limit=2) != first
    both = api.benchmark(["sandbox/base", "sandbox/math"], "sandbox")
    again, new = job_rows.group(both)
    (before,) = job_rows.group(first)
    assert list(job_rows.needed_by([again.id, new.id])) == [again.id]
    assert claim().job_id == before.id
    api.benchmark(["sandbox/base"], "sandbox", join=False)
    assert len(job_rows.recent()) == 5


def test_what_is_being_cancelled_or_has_ended_is_no_twin(models: Path) -> None:
    first = press(with_parents=False)
    held = claim()
    api.cancel(held.job_id)
    second = press(with_parents=False)
    assert second != first
    assert titles(second) == ["Merge finance-chat-2", "Score finance-chat-2 on sandbox"]
    api.cancel_group(second)
    assert press(with_parents=False) not in (first, second)


def test_health_judge_and_single_jobs_are_recognised_too(models: Path) -> None:
    from db.queries import models as model_rows

    base = model_rows.model("sandbox/base")
    assert base is not None
    assert health.ask("health", base) == health.ask("health", base)
    who = judging.LocalJudge("sandbox/base")
    first = judging.ask(["sandbox/math", "sandbox/finance"], "open-small", who, limit=1)
    assert judging.ask(["sandbox/finance", "sandbox/math"], "open-small", who, limit=1) == first
    assert judging.ask(["sandbox/math"], "open-small", who, limit=2) != first
    number = api.submit("count", {"steps": 1}, title="a", once=True)
    assert api.submit("count", {"steps": 1}, title="b", once=True) == number
    assert api.submit("count", {"steps": 2}, title="c", once=True) != number
    assert api.submit("count", {"steps": 1}, title="d") != number


def test_retry_of_what_is_under_way_again_is_refused(home: Path) -> None:
    first = api.submit("count", {}, title="a", once=True)
    queue.finish(claim(), "failed", error="Broken.")
    second = api.submit("count", {}, title="a", once=True)
    assert second != first
    with pytest.raises(JobError, match=f"Job {second} does the same already"):
        api.retry(first)
    api.cancel(second)
    assert api.retry(first) == first


def test_content_is_what_decides_the_work() -> None:
    assert duplicates.content("evaluate", {"a": 1, "b": 2, "refs": ["x"]}) == duplicates.content(
        "evaluate", {"b": 2, "a": 1, "refs": []}
    )
    assert duplicates.content("count", {"a": 1}) != duplicates.content("count", {"a": "1"})
    assert duplicates.content("count", {"a": 1}) != duplicates.content("merge", {"a": 1})


ASKER = """
from jobs.running import api
from jobs import quickstart
print(api.merge_and_benchmark(quickstart.RECIPE, suite="sandbox"))
"""


def test_two_programs_that_ask_at_once_get_one_answer(models: Path) -> None:
    askers = [
        subprocess.Popen([sys.executable, "-c", ASKER], cwd=PROJECT, stdout=subprocess.PIPE,
                         text=True)
        for _ in range(2)
    ]  # fmt: skip
    groups = {process.communicate(timeout=120)[0] for process in askers}
    assert len(groups) == 1
    assert len(job_rows.recent()) == 5
