"""Several workers of one database: each job is one's, and a dead one's are another's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from db.queries import jobs as job_rows
from jobs import devices
from jobs.errors import JobError
from jobs.running import api, lock
from jobs.running.worker import Worker, chosen
from tests.jobs.conftest import PROJECT, kill, pids, row, submit, wait_for, wait_state

Spawn = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def beside(home: Path) -> Iterator[Spawn]:
    """Start a worker beside others and wait until it serves."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "jobs.running.worker", "--beside", *arguments],
            cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        started.append(process)
        wait_for(lambda: any(one.pid == process.pid for one in lock.workers()))
        return process

    yield start
    for process in started:
        process.terminate()
    for process in started:
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def test_three_workers_run_forty_jobs_once_each(beside: Spawn, tmp_path: Path) -> None:
    for _ in range(3):
        beside()
    assert len(lock.workers()) == 3 and not lock.status().alive  # the home's own place is free
    marks = [tmp_path / f"marks-{number}" for number in range(40)]
    jobs = [submit(steps=1, marks=str(path)) for path in marks]
    for job in jobs:
        wait_state(job, "done", "failed")
    assert {row(job).state for job in jobs} == {"done"}
    assert [len(pids(path)) for path in marks] == [1] * 40
    assert {row(job).attempt for job in jobs} == {1}
    assert len({row(job).worker for job in jobs}) > 1


def test_what_a_killed_worker_ran_goes_on_with_another(beside: Spawn, tmp_path: Path) -> None:
    first = beside()
    marks = tmp_path / "marks"
    job = submit(steps=9000, seconds=0.05, marks=str(marks))
    wait_for(lambda: row(job).done > 2)
    beside()
    kill(first.pid)
    wait_for(lambda: len(pids(marks)) == 2)
    assert (row(job).attempt, row(job).deaths) == (2, 1)
    api.cancel(job)
    wait_state(job, "cancelled")


def test_a_paused_job_is_put_back_and_goes_on_when_it_is_resumed(
    beside: Spawn, tmp_path: Path
) -> None:
    beside()
    marks = tmp_path / "marks"
    job = submit(steps=9000, seconds=0.05, marks=str(marks))
    wait_for(lambda: row(job).done > 2)
    api.pause(job)
    paused = wait_state(job, "queued")
    assert paused.paused and paused.done > 2 and paused.deaths == 0
    other = submit(steps=1)
    wait_state(other, "done")
    assert row(job).state == "queued"
    api.resume(job)
    wait_for(lambda: len(pids(marks)) == 2)
    assert row(job).attempt == 2
    api.cancel(job)
    wait_state(job, "cancelled")


def test_a_paused_queue_stands_still_until_it_is_resumed(beside: Spawn, tmp_path: Path) -> None:
    beside()
    job = submit(steps=2000, seconds=0.05)
    wait_for(lambda: row(job).done > 2)
    api.pause_queue()
    wait_state(job, "queued")
    assert job_rows.counts().running == 0
    api.resume_queue()
    wait_state(job, "running")
    api.cancel(job)
    wait_state(job, "cancelled")


def test_a_gpu_serves_one_worker(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_gpus", lambda: ["0", "1", "2"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    assert devices.devices() == ["cuda:0", "cuda:1"]
    held, stack = lock.hold_devices(["cuda:1"])
    assert held == ["cuda:1"] and (home / "gpu-0.lock").exists()  # by the driver's own number
    with pytest.raises(JobError, match="runs jobs on cuda:1"):
        lock.hold_devices(["cuda:0", "cuda:1"])
    rest, other = lock.hold_devices(["cuda:0", "cuda:1"], every=False)
    assert rest == ["cuda:0"]
    with pytest.raises(JobError, match="hold every GPU"):
        lock.hold_devices(["cuda:0", "cuda:1"], every=False)
    stack.close()
    other.close()
    with pytest.raises(JobError, match="cuda:0 is named twice"):
        chosen("cuda:0,cuda:0")
    with pytest.raises(JobError, match="no device 'cuda:7' here"):
        chosen("cuda:7")
    assert chosen(" cuda:1, cpu,cpu ") == ["cuda:1", "cpu", "cpu"]
    assert Worker(slots=chosen("")).slots == ()
