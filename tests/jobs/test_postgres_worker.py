"""The worker on PostgreSQL: it waits for a server that goes away, and goes on where it was."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.jobs.conftest import kill, pids, row, submit, wait_for, wait_state
from tests.postgres_server import Server

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(autouse=True)
def there(postgres_database: str, home: Path) -> None:
    """Each test has its database on PostgreSQL."""


@pytest.mark.parametrize(
    "how", [pytest.param(signal.SIGINT, marks=pytest.mark.long), signal.SIGQUIT]
)  # shut down, or crashed
def test_the_worker_waits_for_its_server_and_goes_on(
    start_worker: Start, postgres_server: Server, tmp_path: Path, how: signal.Signals
) -> None:
    worker = start_worker()
    marks = tmp_path / "marks"
    job = submit(steps=60, seconds=0.05, marks=str(marks))
    after = submit(steps=2)
    wait_for(lambda: row(job).done > 2)
    postgres_server.stop(how)
    assert len(pids(marks)) == 1
    postgres_server.start()
    done = wait_state(job, "done", "failed")
    assert (done.state, done.attempt, done.result) == ("done", 1, {"steps": 60})
    assert wait_state(after, "done", "failed").state == "done"
    assert len(pids(marks)) == 1 and worker.poll() is None


def test_a_worker_that_starts_before_its_server_waits_for_it(
    start_worker: Start, postgres_server: Server, tmp_path: Path
) -> None:
    job = submit(steps=2)
    postgres_server.stop()
    worker = start_worker()
    postgres_server.start()
    assert wait_state(job, "done", "failed").state == "done"
    assert worker.poll() is None


@pytest.mark.long
def test_a_killed_worker_loses_nothing(start_worker: Start, tmp_path: Path) -> None:
    worker = start_worker()
    marks = tmp_path / "marks"
    job = submit(steps=40, seconds=0.05, marks=str(marks))
    wait_for(lambda: row(job).done > 2)
    kill(worker.pid)
    worker.wait()
    start_worker()
    done = wait_state(job, "done", "failed")
    assert (done.state, done.attempt, done.deaths, len(pids(marks))) == ("done", 2, 1, 2)
