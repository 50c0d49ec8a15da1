"""Parts of a suite on their way through the queue, and what is said before a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from db.engine import close_databases, session
from db.tables import Job
from evaluation.configs import config_hash, task_configs
from evaluation.errors import SuiteError
from evaluation.suites import load_suite
from jobs.kinds.unscored import done, part_of
from jobs.models import registry
from jobs.running import api
from jobs.scores import detectable, parts


@pytest.fixture(autouse=True)
def fresh(home: Path) -> Iterator[None]:
    registry.ensure_sandbox()
    yield
    close_databases()


def test_what_was_scored_on_one_part_is_not_scored_on_another() -> None:
    search, held = parts.named("search"), parts.named("held-out")
    configs = task_configs(load_suite("sandbox"), None, "float32", search)
    there = [("f", task, config_hash(config)) for task, config in configs.items()]
    for part, expected in ((search, set(configs)), (held, set()), (None, set())):
        have, left = done(there, "f", "sandbox", limit=None, dtype="float32", part=part)
        assert have == expected and left == set(configs) - expected


def test_a_job_carries_its_part() -> None:
    group = api.benchmark(["sandbox/base"], "sandbox", limit=2, part=parts.named("search", 3, 0.4))
    with session() as opened:
        (job,) = opened.scalars(select(Job).where(Job.group == group))
    assert job.title == "Score sandbox/base on sandbox (search part)"
    assert part_of(job.spec) == parts.named("search", 3, 0.4)
    assert part_of({}) is None
    with pytest.raises(SuiteError, match="no part 'test'"):
        part_of({"part": {"name": "test", "seed": 1, "share": 0.5}})


def test_sentences_before_a_run() -> None:
    told = detectable.before("sandbox")
    assert told.sentence.startswith("With 2,632 items in 24 tasks the smallest difference of the")
    assert told.sentence.endswith("told from noise is about 3.1 points (paired, 80 % power).")
    half = detectable.before("sandbox", part=parts.named("search"))
    assert "With 1,316 items in 24 tasks" in half.sentence
    few = detectable.before("sandbox", 3)
    assert few.sentence.startswith("With 72 items in 24 tasks")
    assert few.warning == "Each task alone, with 3 items, tells no difference at all."
    one = detectable.before("sandbox", 200, tasks=[load_suite("sandbox").tasks[0]])
    assert "of the mean" not in one.sentence and one.warning == ""
    assert detectable.before("sandbox", 1, tasks=one_task()).sentence == (
        "With 1 item no difference can be told from noise."
    )


def one_task() -> list[str]:
    return [load_suite("sandbox").tasks[0]]


def test_an_unknown_number_of_items_is_said(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(
        "task: t\noutput_type: multiple_choice\ndataset_path: org/on-the-hub\ntest_split: test\n"
        "doc_to_text: q\ndoc_to_choice: c\ndoc_to_target: a\n"
    )
    suite = tmp_path / "s.yaml"
    suite.write_text("include: .\ntasks: [t]\n")
    assert detectable.before(str(suite)).sentence == detectable.UNKNOWN
    assert (
        "With 200 items the smallest difference that can be told from noise is about 11 points"
        in (detectable.before(str(suite), 200).sentence)
    )
