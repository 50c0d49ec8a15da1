"""Workers as real processes, and the waiting for what they do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from db.engine import close_databases
from db.queries import jobs as job_rows
from db.queries.jobs import JobRow
from jobs.running import api, lock

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 40.0


@pytest.fixture
def home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home with the fake kinds known and a zygote that imports nothing ahead."""
    monkeypatch.setenv("CRUCIBLE_JOB_KINDS", "count=tests.jobs.fake_kinds")
    monkeypatch.setenv("CRUCIBLE_WARM", "0")
    yield home
    close_databases()


@pytest.fixture
def start_worker(home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a worker process and wait until it serves."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "jobs.running.worker", *arguments],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        wait_for(lambda: lock.status().pid == process.pid)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
        process.communicate()


def submit(**spec: Any) -> int:
    """Queue a counting job."""
    return api.submit("count", spec, title="Count")


def row(job_id: int) -> JobRow:
    """The job as it is now."""
    found = job_rows.job(job_id)
    assert found is not None
    return found


def wait_for(
    condition: Callable[[], Any], seconds: float = PATIENCE_SECONDS, every: float = 0.02
) -> float:
    """Wait until something is true; return how many seconds that took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"still not true after {seconds} s")
        time.sleep(every)
    return time.monotonic() - began


def wait_state(job_id: int, *states: str, seconds: float = PATIENCE_SECONDS) -> JobRow:
    """Wait until a job is in one of some states."""
    wait_for(lambda: row(job_id).state in states, seconds)
    return row(job_id)


def pids(marks: Path) -> list[int]:
    """Processes that have run a job, one for each start."""
    return [int(line) for line in marks.read_text().split()] if marks.exists() else []


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill(pid: int) -> None:
    """SIGKILL."""
    os.kill(pid, signal.SIGKILL)
