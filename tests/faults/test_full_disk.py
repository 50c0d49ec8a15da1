"""The disk fills up: one sentence, nothing half-written, and all goes on when there is room."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from db.errors import DatabaseError
from db.queries import jobs as job_rows
from jobs.models import registry
from jobs.running import api, lock
from merging.errors import ModelError
from tests.faults import invariants, load
from tests.jobs.conftest import alive, pids, row, submit, wait_for, wait_state

Start = Callable[..., "subprocess.Popen[str]"]
MB = 1_000_000


def test_a_database_that_cannot_grow_loses_nothing(
    start_worker: Start, home: Path, tmp_path: Path
) -> None:
    """As on a full disk, the worker cannot write; what its job says meanwhile is kept."""
    worker = start_worker()
    marks = tmp_path / "marks"
    job = submit(steps=40, seconds=0.05, marks=str(marks))
    wait_for(lambda: row(job).done > 2)
    usual = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (4096, usual[1]))
    wait_for(lambda: lock.status().trouble)  # for the pages
    assert "Free some disk space and try again." in (lock.status().trouble or "")
    wait_for(lambda: not alive(pids(marks)[0]))
    assert row(job).state == "running"
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, usual)
    done = wait_state(job, "done", "failed")
    assert (done.state, done.result, done.attempt) == ("done", {"steps": 40}, 1)
    wait_for(lambda: lock.status().trouble is None)


@pytest.fixture
def small_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home on a disk of 48 MB of its own, where this user may mount one."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(place)], capture_output=True
    )
    if not mounted or mounted.returncode != 0:
        pytest.skip("mounting a small disk needs more rights")
    try:
        with load.working_in(place):
            yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill(home: Path, but: int) -> Path:
    """Fill the disk, but so many bytes."""
    stone = home / "stone"
    with stone.open("ab", buffering=0) as file:
        block = bytes(4096)
        try:
            while shutil.disk_usage(home).free > but:
                file.write(block)
        except OSError:
            pass
    return stone


def test_merges_and_presses_on_a_full_disk(
    small_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.faults.processes import App

    monkeypatch.setenv("CRUCIBLE_WARM", "0")
    monkeypatch.setenv("CRUCIBLE_SMOKE", "0")
    registry.ensure_sandbox()
    app = App(small_home)
    group = api.merge_and_benchmark(load.MERGE)
    stone = fill(small_home, but=2 * MB)  # the weights take three
    with pytest.raises(ModelError, match="Free some space"):  # said before it is queued
        api.merge_and_benchmark(load.MERGE.replace("alpha: 1.0", "alpha: 0.5"), name="another")
    app.start()
    try:
        (merge,) = (one.id for one in job_rows.group(group))
        failed = wait_state(merge, "failed", "done")
        assert "disk" in (failed.error or "") and "unexpected" not in (failed.error or "")
        assert invariants.of_models(small_home) == []
        assert list((small_home / "models").iterdir()) == []
        fill(small_home, but=0)
        with pytest.raises(DatabaseError, match="Free some disk space and try again"):
            for _ in range(2000):  # until the database's own room is used up
                submit(steps=1)
        stone.unlink()
        waiting = [one.id for one in job_rows.active() if one.kind == "count"]
        api.retry(merge)
        assert wait_state(merge, "failed", "done").state == "done"
        for job in waiting:
            assert wait_state(job, "failed", "done").state == "done"
        assert invariants.of_jobs() == invariants.of_models(small_home) == []
    finally:
        app.stop()
