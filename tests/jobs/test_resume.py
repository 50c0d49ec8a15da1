"""A job's process dies in the middle of a task: the next attempt asks only what is left."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import select

from db import settings
from db.engine import session
from db.queries import jobs as job_rows
from db.tables import Answer
from jobs.models import registry
from jobs.running import api
from tests.jobs.conftest import kill, row, wait_for, wait_state

ITEMS = 3000


@pytest.fixture
def warm_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("CRUCIBLE_WARM", "1")
    assert registry.ensure_sandbox() == 5
    yield home


def suite(folder: Path) -> Path:
    """One task that takes a small model many seconds."""
    (folder / "tasks").mkdir(parents=True)
    rows = [{"q": f"Mira lives in town number {i} and says", "t": str(i)} for i in range(ITEMS)]
    (folder / "tasks" / "long.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "tasks" / "long.yaml").write_text(
        "task: long\noutput_type: generate_until\ndataset_path: json\n"
        "dataset_kwargs: {data_files: {test: long.jsonl}}\ntest_split: test\n"
        "doc_to_text: q\ndoc_to_target: t\n"
        "generation_kwargs: {until: ['\\n\\n'], max_gen_toks: 32, do_sample: false}\n"
        "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n"
    )
    file = folder / "long-suite.yaml"
    file.write_text("title: Long\ninclude: tasks\ngroups: {all: [long]}\n")
    return file


def test_a_killed_process_costs_no_finished_answer(
    warm_home: Path, start_worker: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    worker = start_worker()
    group = api.benchmark(["sandbox/base"], str(suite(tmp_path / "suite")))
    (job,) = (one.id for one in job_rows.group(group))
    replies = settings.cache_folder() / "replies"
    wait_for(lambda: any(p.stat().st_size for p in replies.glob("*.jsonl")), seconds=200)
    # The zygote's children are the jobs; killing what works, and neither worker nor zygote.
    at_work = [p for p in psutil.Process(worker.pid).children(recursive=True) if not p.children()]
    for process in at_work:
        kill(process.pid)
    kept = [line for path in replies.glob("*.jsonl") for line in path.read_text().splitlines()]
    n_kept = sum(1 for line in kept if line.endswith("]"))
    assert 0 < n_kept < ITEMS  # it was in the middle
    done = wait_state(job, "done", "failed", seconds=300)
    assert (done.state, done.attempt) == ("done", 2)
    said = settings.log_path(job).read_text()
    assert f"long: {n_kept:,} items were answered before." in said
    with session() as s:
        assert sorted(s.scalars(select(Answer.doc_id))) == list(range(ITEMS))
    assert list(replies.iterdir()) == []  # recorded, so forgotten
    assert row(job).result["n_scored"] == 1
