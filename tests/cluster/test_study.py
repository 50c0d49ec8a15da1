"""A study over two nodes, one of which loses its power in the middle: the same tables as here."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from sqlalchemy import func, select

from db.engine import close_databases, session
from db.queries import jobs as job_rows
from db.queries import studies as study_rows
from db.tables import PointScore
from jobs.models import registry
from jobs.studies import state, submit
from tests.cluster.conftest import Machines
from tests.jobs.conftest import wait_for
from tests.jobs.test_studies import design, table, work

PATIENCE_SECONDS = 240.0
SCALES = {"methods": [{"method": "task_arithmetic", "grid": {"scale": [0.2, 0.5, 0.8, 1.1]}},
                      {"method": "ties", "grid": {"density": [0.4, 0.8]}}]}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The tables of the study, made without a cluster in a home of its own."""
    (tmp_path / "here").mkdir()
    with monkeypatch.context() as patch:
        patch.setenv("CRUCIBLE_HOME", str(tmp_path / "here"))
        threads = torch.get_num_threads()
        registry.ensure_sandbox()
        study_id, group = submit.submit(design(**SCALES))
        work(group)
        expected = table(study_id)
        torch.set_num_threads(threads)
    yield expected
    close_databases()


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_study_on_two_nodes(
    here: dict[str, Any],
    cluster: Machines,
    start_worker: Callable[..., subprocess.Popen[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CRUCIBLE_WARM", "1")
    start_worker()
    registry.ensure_sandbox()
    study_id, group = submit.submit(design(**SCALES))
    lanes = [job for job in job_rows.group(group) if job.kind == "study"]
    assert len(lanes) == 4 and all(job.spec["narrow"] for job in lanes)  # two for each stage

    def ended() -> bool:
        return not any(job.open for job in job_rows.group(group))

    def on(name: str) -> list[int]:
        return [
            job.id
            for job in job_rows.group(group)
            if job.kind == "study" and job.state == "running" and job.device == f"{name}/cpu"
        ]

    def done() -> int:
        return sum(point.state == "done" for point in study_rows.points(study_id))

    wait_for(lambda: done() >= 2 and on("node-2"), PATIENCE_SECONDS)
    hit = on("node-2")
    cluster.cut_power("node-2")
    wait_for(lambda: ended(), PATIENCE_SECONDS)
    rows = {job.id: job for job in job_rows.group(group)}
    assert [job.state for job in rows.values()] == ["done"] * len(rows)
    assert any(rows[job].attempt > 1 and rows[job].device == "node-1/cpu" for job in hit)
    assert table(study_id) == here
    assert state.progress(study_id)["points"]["failed"] == 0
    with session() as opened:
        count = opened.scalar(select(func.count()).select_from(PointScore))
    assert count == sum(len(point[-1]) for point in here.values())
