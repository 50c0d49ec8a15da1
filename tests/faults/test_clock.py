"""The wall clock is set while jobs run: leases rest on stopwatches."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from db.engine import transaction
from db.tables import Job
from jobs.running import identity, lock, queue
from jobs.running.reaper import Reaper
from tests.faults.clock import Clock
from tests.jobs.conftest import kill, row, submit, wait_for, wait_state

HOURS = 3600


@pytest.fixture
def clock(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock of the workers that are started in this test."""
    try:
        made = Clock(tmp_path)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


def test_a_job_runs_on_while_the_clock_is_set(
    clock: Clock, start_worker: Callable[..., subprocess.Popen[str]]
) -> None:
    start_worker()
    job = submit(steps=100, seconds=0.05)
    wait_for(lambda: row(job).done > 2)
    for hours in (6, -12, 0):
        clock.set(hours * HOURS)
        before = row(job).done
        wait_for(lambda before=before: row(job).done > before + 10 or not row(job).open)
    done = wait_state(job, "done", "failed")
    assert (done.state, done.attempt, done.deaths) == ("done", 1, 0)
    assert done.seconds is not None and done.seconds >= 0


@pytest.mark.long
def test_a_lease_made_in_the_future_does_not_outlive_its_worker(
    clock: Clock, start_worker: Callable[..., subprocess.Popen[str]]
) -> None:
    clock.set(6 * HOURS)
    worker = start_worker()
    job = submit(steps=100, seconds=0.05)
    wait_for(lambda: row(job).done > 2)
    clock.set(-6 * HOURS)
    kill(worker.pid)
    worker.wait()
    start_worker()
    assert wait_for(lambda: row(job).attempt == 2) < 15
    assert wait_state(job, "done", "failed").state == "done"


def test_a_silent_worker_elsewhere_whose_clock_is_ahead(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody here can see whether it lives, and its lease lasts for hours by our clock."""
    job = submit()
    assert queue.claim("elsewhere:1:0.0", "cpu") is not None
    with transaction() as opened:
        opened.get_one(Job, job).lease_until = time.time() + 6 * HOURS
    reaper, now = Reaper(), time.monotonic()
    assert reaper.reap() == 0
    monkeypatch.setattr(time, "monotonic", lambda: now + queue.LEASE_SECONDS)
    assert reaper.reap() == 0
    monkeypatch.setattr(time, "monotonic", lambda: now + 16)
    assert reaper.reap() == 1


def test_who_a_worker_is_does_not_depend_on_the_clock(
    clock: Clock, start_worker: Callable[..., subprocess.Popen[str]]
) -> None:
    clock.set(6 * HOURS)
    worker = start_worker()
    wait_for(lambda: lock.status().alive)
    job = submit(steps=100, seconds=0.05)
    wait_for(lambda: row(job).done > 0)
    assert row(job).worker == identity.worker_id(worker.pid)
    assert not identity.is_gone(row(job).worker)
