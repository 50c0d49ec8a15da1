"""Jobs on a real cluster of two nodes on this machine, and what becomes of them when parts die."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from db import settings
from db.queries import jobs as job_rows
from db.queries.jobs import JobRow
from jobs.running import api
from tests.cluster.conftest import Machines
from tests.jobs import conftest as waiting
from tests.jobs.conftest import alive, kill, pids, row, submit

pytestmark = pytest.mark.timeout(900)
PATIENCE_SECONDS = 120.0  # Ray's processes start slowly on a busy machine
Start = Callable[[], subprocess.Popen[str]]


def wait_for(condition: Callable[[], Any]) -> None:
    waiting.wait_for(condition, PATIENCE_SECONDS)


def wait_state(job: int, state: str) -> JobRow:
    return waiting.wait_state(job, state, seconds=PATIENCE_SECONDS)


def long_job(marks: Path, **more: Any) -> int:
    return submit(steps=100_000, seconds=0.05, marks=str(marks), **more)


def wait_running(*jobs: int) -> None:
    wait_for(lambda: all(row(job).done > 0 for job in jobs))


def test_jobs_on_nodes(cluster: Machines, start_worker: Start, tmp_path: Path) -> None:
    """Both nodes work; what goes wrong there is told as it is told of a job here."""
    first, second = (long_job(tmp_path / name) for name in ("one", "two"))
    start_worker()
    wait_running(first, second)
    assert {row(first).device, row(second).device} == {"node-1/cpu", "node-2/cpu"}
    asked = [process for process in psutil.net_connections("tcp") if process.status == "LISTEN"]
    raylets = {
        each
        for pid in cluster.raylets.values()
        for each in (pid, *(child.pid for child in psutil.Process(pid).children(recursive=True)))
    }
    open_to = {one.laddr.ip for one in asked if one.pid in raylets}
    assert open_to and open_to <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}

    api.cancel(first)
    assert wait_state(first, "cancelled").error is None
    (there,) = pids(tmp_path / "one")
    wait_for(lambda: not alive(there))

    failing = submit(fail="the gauge is broken\nand more")
    ended = wait_state(failing, "failed")
    assert ended.error == (
        "Counting: unexpected RuntimeError: the gauge is broken. The log has the details."
    )
    log = job_rows.log_tail(failing)
    assert "this goes to the log" in log and "Traceback" in log and "on the node node-" in log

    dying = submit(marks=str(tmp_path / "three"), die=int(signal.SIGKILL))
    assert wait_state(dying, "done").deaths == 1
    assert len(pids(tmp_path / "three")) == 2

    deaf = long_job(tmp_path / "four", stubborn=True, grandchild=str(tmp_path / "grandchild"))
    wait_running(deaf)
    api.cancel(deaf)
    wait_state(deaf, "cancelled")
    (there,) = pids(tmp_path / "four")
    wait_for(lambda: not alive(there))
    wait_for(lambda: not alive(int((tmp_path / "grandchild").read_text())))


def test_a_worker_that_dies_leaves_nothing_running(
    cluster: Machines, start_worker: Start, tmp_path: Path
) -> None:
    """The next worker runs what the dead one ran, and does it once."""
    job = submit(steps=200, seconds=0.05, marks=str(tmp_path / "marks"))
    first = start_worker()
    wait_running(job)
    (there,) = pids(tmp_path / "marks")
    kill(first.pid)
    wait_for(lambda: not alive(there))
    start_worker()
    wait_for(lambda: len(pids(tmp_path / "marks")) == 2)
    assert wait_state(job, "done").attempt == 2


def test_a_node_that_dies(cluster: Machines, start_worker: Start, tmp_path: Path) -> None:
    """Its jobs run elsewhere; without any node they wait."""
    marks = {name: tmp_path / name for name in ("one", "two")}
    jobs = {name: long_job(path) for name, path in marks.items()}
    worker = start_worker()
    wait_running(*jobs.values())
    hit = next(name for name, job in jobs.items() if row(job).device == "node-2/cpu")
    other = "one" if hit == "two" else "two"
    (there,) = pids(marks[hit])
    cluster.cut_power("node-2")
    wait_for(lambda: not alive(there))
    wait_for(lambda: row(jobs[hit]).state == "queued")
    assert row(jobs[hit]).deaths == 1
    assert re.fullmatch(r"Started again: .*\.", row(jobs[hit]).error or "")
    assert "the slot node-2/cpu was lost" in job_rows.log_tail(jobs[hit])
    api.cancel(jobs[other])
    wait_for(lambda: len(pids(marks[hit])) == 2)
    assert row(jobs[hit]).device == "node-1/cpu"
    api.cancel(jobs[hit])
    wait_state(jobs[hit], "cancelled")
    worker.terminate()
    assert worker.wait(PATIENCE_SECONDS) == 0
    assert not (settings.home() / "cluster.partial").exists()
