"""The worker under real signals: nothing is lost, nothing runs twice, nothing is left behind."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from db.queries import jobs as job_rows
from jobs.running import api, lock
from tests.jobs.conftest import PROJECT, alive, kill, pids, row, submit, wait_for, wait_state

Start = Callable[..., "subprocess.Popen[str]"]


def test_a_job_runs_and_leaves_its_result_and_its_log(start_worker: Start) -> None:
    start_worker()
    job = submit(steps=4)
    done = wait_state(job, "done", "failed")
    assert (done.state, done.result, done.stage) == ("done", {"steps": 4}, "Counting")
    assert (done.done, done.total, done.unit, done.attempt) == (4, 4, "steps", 1)
    assert done.started is not None and done.ended is not None and done.ended >= done.started
    assert "this goes to the log" in job_rows.log_tail(job)


def test_progress_is_seen_while_the_job_runs(start_worker: Start) -> None:
    start_worker()
    job = submit(steps=200, seconds=0.02)
    wait_for(lambda: (row(job).rate or 0) > 0)
    seen = row(job)
    assert seen.state == "running"
    assert 0 < seen.done < 200
    assert 20 < seen.rate < 60  # 50 a second at most, measured over a window
    assert 0 < seen.eta_seconds < 10
    api.cancel(job)
    wait_state(job, "cancelled")


def test_a_python_error_is_told_and_not_tried_again(start_worker: Start, tmp_path: Path) -> None:
    start_worker()
    marks = tmp_path / "marks"
    job = submit(fail="no such thing", marks=str(marks))
    failed = wait_state(job, "failed")
    assert failed.error == (
        "Counting: unexpected RuntimeError: no such thing. The log has the details."
    )
    assert "Traceback" in job_rows.log_tail(job)
    assert len(pids(marks)) == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_child_is_started_again(
    start_worker: Start, tmp_path: Path, number: signal.Signals
) -> None:
    start_worker()
    marks, grandchild = tmp_path / "marks", tmp_path / "grandchild"
    job = submit(die=int(number), marks=str(marks), grandchild=str(grandchild), seconds=0.2)
    wait_for(lambda: grandchild.exists() and grandchild.read_text())
    left_behind = int(grandchild.read_text())
    done = wait_state(job, "done", "failed")
    assert (done.state, done.attempt, done.deaths) == ("done", 2, 1)
    assert len(pids(marks)) == 2
    assert not alive(left_behind)
    assert f"killed by {number.name}" in job_rows.log_tail(job)


def test_a_job_that_always_dies_is_given_up(start_worker: Start, tmp_path: Path) -> None:
    start_worker()
    marks = tmp_path / "marks"
    job = submit(always_die=9, marks=str(marks))
    after = api.submit("count", {}, title="After", needs=[job])
    failed = wait_state(job, "failed")
    assert failed.error == (
        "Given up after it was started 3 times: killed by SIGKILL (often out of memory)."
    )
    assert len(pids(marks)) == 3
    assert row(after).error == f"Not run, because “Count” (job {job}) failed."


def test_cancel_stops_a_job_and_all_it_has_started(start_worker: Start, tmp_path: Path) -> None:
    start_worker()
    marks, grandchild = tmp_path / "marks", tmp_path / "grandchild"
    job = submit(steps=1000, seconds=0.05, marks=str(marks), grandchild=str(grandchild))
    wait_for(lambda: row(job).done > 2)
    assert api.cancel(job)
    seconds = wait_for(lambda: row(job).state == "cancelled")
    assert seconds < 1.5
    assert not alive(pids(marks)[0])
    wait_for(lambda: not alive(int(grandchild.read_text())), seconds=5)


def test_cancel_kills_a_job_that_does_not_listen(start_worker: Start, tmp_path: Path) -> None:
    start_worker()
    marks = tmp_path / "marks"
    job = submit(steps=1000, seconds=0.05, marks=str(marks), stubborn=True)
    wait_for(lambda: row(job).done > 2)
    api.cancel(job)
    assert wait_for(lambda: row(job).state == "cancelled") < 2.5
    assert not alive(pids(marks)[0])


def test_sigterm_puts_the_job_back_with_its_progress(start_worker: Start, tmp_path: Path) -> None:
    worker = start_worker()
    marks = tmp_path / "marks"
    job = submit(steps=60, seconds=0.05, marks=str(marks))
    wait_for(lambda: row(job).done > 2)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    left = row(job)
    assert (left.state, left.deaths) == ("queued", 0)
    assert left.done > 2
    assert not alive(pids(marks)[0])
    assert not lock.status().alive
    start_worker()
    assert wait_state(job, "done", "failed").attempt == 2


def test_a_killed_worker_takes_its_child_along_and_the_next_one_goes_on(
    start_worker: Start, tmp_path: Path
) -> None:
    worker = start_worker()
    marks, grandchild = tmp_path / "marks", tmp_path / "grandchild"
    job = submit(steps=60, seconds=0.05, marks=str(marks), grandchild=str(grandchild))
    wait_for(lambda: row(job).done > 2)
    family = psutil.Process(worker.pid).children(recursive=True)
    assert len(family) >= 3  # zygote, child, grandchild
    kill(worker.pid)
    worker.wait()
    wait_for(lambda: not any(alive(process.pid) for process in family), seconds=5)
    assert row(job).state == "running"  # nobody could say anything
    start_worker()
    wait_for(lambda: len(pids(marks)) == 2, seconds=15)
    done = wait_state(job, "done", "failed")
    assert (done.state, done.attempt, done.deaths) == ("done", 2, 1)


def test_a_killed_zygote_is_replaced(start_worker: Start, tmp_path: Path) -> None:
    worker = start_worker()
    marks = tmp_path / "marks"
    job = submit(steps=40, seconds=0.05, marks=str(marks))
    wait_for(lambda: row(job).done > 2)
    (zygote,) = psutil.Process(worker.pid).children()
    kill(zygote.pid)
    done = wait_state(job, "done", "failed")
    assert (done.state, done.attempt) == ("done", 2)
    assert not alive(pids(marks)[0])


def test_a_second_worker_is_refused(start_worker: Start, home: Path) -> None:
    first = start_worker()
    second = subprocess.run(
        [sys.executable, "-m", "jobs.running.worker"], cwd=PROJECT, capture_output=True, text=True
    )
    assert second.returncode == 2
    assert second.stderr.startswith(f"A worker (process {first.pid}) already serves {home}.")
    assert len(second.stderr.strip().splitlines()) == 1
    assert first.poll() is None


def test_a_worker_ends_with_the_process_that_started_it(home: Path) -> None:
    code = (
        "import time; from jobs.running import supervise; supervise.start_worker_if_needed();"
        "time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT)
    wait_for(lambda: lock.status().alive)
    worker = lock.status().pid
    assert worker is not None and worker != parent.pid
    kill(parent.pid)
    parent.wait()
    wait_for(lambda: not alive(worker), seconds=10)


@pytest.mark.sqlite
def test_a_database_locked_for_a_while_loses_nothing(start_worker: Start, home: Path) -> None:
    start_worker()
    job = submit(steps=30, seconds=0.02)
    wait_for(lambda: row(job).state == "running")
    other = sqlite3.connect(home / "crucible.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    time.sleep(2.0)
    other.execute("COMMIT")
    other.close()
    assert wait_state(job, "done", "failed").result == {"steps": 30}


def test_jobs_run_without_a_zygote_too(
    start_worker: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CRUCIBLE_LAUNCHER", "plain")
    start_worker()
    done = wait_state(submit(steps=2), "done", "failed")
    assert done.result == {"steps": 2}
    marks = tmp_path / "marks"
    job = submit(steps=1000, seconds=0.05, marks=str(marks))
    wait_for(lambda: row(job).done > 2)
    api.cancel(job)
    wait_state(job, "cancelled")
    assert not alive(pids(marks)[0])
