"""The worker that the application starts: alive while it is, restarted when killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from jobs.errors import JobError
from jobs.running import lock, supervise
from tests.jobs.conftest import PROJECT, alive, kill, pids, row, submit, wait_for, wait_state


@pytest.fixture
def app(home: Path) -> Iterator[Path]:
    """A home whose worker this process has started."""
    supervise.start_worker_if_needed()
    wait_for(lambda: lock.status().alive)
    yield home
    supervise.stop_worker()


def test_it_starts_one_worker_and_stops_it(app: Path, tmp_path: Path) -> None:
    status = supervise.worker_status()
    assert status.alive and status.pid and status.devices
    assert supervise.start_worker_if_needed().pid == status.pid  # not a second one
    marks = tmp_path / "marks"
    job = submit(steps=1000, seconds=0.05, marks=str(marks))
    wait_for(lambda: row(job).done > 2)
    supervise.stop_worker()
    assert not alive(status.pid)
    assert not alive(pids(marks)[0])
    assert row(job).state == "queued"
    assert not supervise.worker_status().alive


def test_a_killed_worker_is_started_again(app: Path) -> None:
    job = submit(steps=40, seconds=0.05)
    wait_for(lambda: row(job).done > 2)
    first = lock.status().pid
    assert first is not None
    kill(first)
    seconds = wait_for(lambda: row(job).attempt == 2)
    assert seconds < 15
    assert lock.status().pid != first
    wait_state(job, "done")


def test_a_worker_started_by_hand_is_left_alone(home: Path) -> None:
    by_hand = subprocess.Popen([sys.executable, "-m", "jobs.running.worker"], cwd=PROJECT)
    wait_for(lambda: lock.status().pid == by_hand.pid)
    assert supervise.start_worker_if_needed().pid == by_hand.pid
    supervise.stop_worker()
    assert by_hand.poll() is None
    by_hand.send_signal(signal.SIGTERM)
    assert by_hand.wait(10) == 0


def test_two_applications_share_one_worker(app: Path) -> None:
    code = (
        "from jobs.running import lock, supervise;"
        "print(supervise.start_worker_if_needed().pid); supervise.stop_worker()"
    )
    other = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, text=True,
                           capture_output=True, check=True)  # fmt: skip
    assert int(other.stdout) == lock.status().pid
    assert supervise.worker_status().alive


def test_the_lock_says_who_holds_it(home: Path) -> None:
    assert not lock.status().alive
    with lock.acquire(["cpu"]):
        status = lock.status()
        assert (status.alive, status.pid, status.devices) == (True, psutil.Process().pid, ("cpu",))
        with pytest.raises(JobError, match="already serves"):
            lock.acquire(["cpu"], patience_seconds=0.1)
    assert not lock.status().alive
