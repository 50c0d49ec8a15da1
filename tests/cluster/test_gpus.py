"""A node that says it has GPUs: a slot for each, which sees that one alone."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs import devices
from jobs.cluster import places
from jobs.running import api
from tests.cluster.conftest import started
from tests.jobs.conftest import wait_state

PATIENCE_SECONDS = 120.0


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_each_gpu_is_a_slot_of_its_own(
    home: Path,
    tmp_path: Path,
    start_worker: Callable[[], subprocess.Popen[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CRUCIBLE_JOB_KINDS", "told=tests.cluster.kinds")
    (tmp_path / "marks").mkdir()
    spec = {"marks": str(tmp_path / "marks"), "together": 2}
    with started(1, 4, gpus=2) as machines:
        monkeypatch.setenv("CRUCIBLE_RAY_ADDRESS", machines.address)
        assert [node.gpus for node in places.looked_up()] == [2]  # before there is a worker
        assert devices.devices() == ["cuda:0", "cuda:1"]
        start_worker()
        jobs = [api.submit("told", spec, title="Tell") for _ in range(2)]
        rows = [wait_state(job, "done", seconds=PATIENCE_SECONDS) for job in jobs]
        assert {row.device for row in rows} == {"node-1/gpu:0", "node-1/gpu:1"}
        told = [row.result or {} for row in rows]
        assert {one["CUDA_VISIBLE_DEVICES"] for one in told} == {"0", "1"}
        assert {one["CRUCIBLE_THREADS"] for one in told} == {"2"}
        assert {one["CRUCIBLE_HOME"] for one in told} == {str(home)}
        assert {one["CRUCIBLE_RAY_ADDRESS"] for one in told} == {None}
