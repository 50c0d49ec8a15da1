"""Two applications on one home: one of them works; when it ends, the other one does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.running import lock
from tests.faults import processes
from tests.faults.processes import App
from tests.jobs.conftest import alive, kill, row, submit, wait_for, wait_state


@pytest.fixture
def apps(home: Path) -> Iterator[list[App]]:
    """Two, the first of which has the worker."""
    started = [App(home), App(home)]
    started[0].start()
    wait_for(lambda: lock.status().alive)
    started[1].start()
    wait_for(lambda: list(processes.of_home(home).values()).count("web") == 2)
    yield started
    for one in started:
        one.stop()
    assert processes.of_home(home) == {}


@pytest.mark.parametrize("end", [App.kill, pytest.param(App.stop, marks=pytest.mark.long)])
def test_the_second_takes_over_when_the_first_one_ends(
    apps: list[App], home: Path, end: Callable[[App], None]
) -> None:
    job = submit(steps=120, seconds=0.05)
    wait_for(lambda: row(job).done > 2)
    first = lock.status().pid
    assert first is not None
    assert list(processes.of_home(home).values()).count("worker") == 1
    end(apps[0])
    assert wait_for(lambda: row(job).attempt == 2) < 15
    assert lock.status().pid not in (None, first)
    assert not alive(first)
    assert wait_state(job, "done", "failed").state == "done"


def test_a_worker_that_is_killed_again_and_again_is_started_again(home: Path) -> None:
    app = App(home)
    app.start()
    try:
        for _ in range(2):
            wait_for(lambda: lock.status().alive)
            before = lock.status().pid
            assert before is not None
            kill(before)
            wait_for(lambda before=before: lock.status().pid not in (None, before))
        assert wait_state(submit(steps=2), "done", "failed").state == "done"
    finally:
        app.stop()
