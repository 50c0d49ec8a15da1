"""The loop itself, in this process: what it does when the database or the recording fails."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from db.errors import DatabaseError
from jobs.running import api, inline
from jobs.running.launch import Warm
from jobs.running.record import Recorder
from jobs.running.runner import Runner, died_of
from tests.jobs.conftest import row, submit


@pytest.fixture
def runner(home: Path) -> Iterator[Runner]:
    launcher = Warm()
    made = Runner(["cpu"], launcher)
    yield made
    made.close()


def run(runner: Runner, until: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        runner.step(0.02)


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, times: int) -> list[str]:
    """Make the recorder fail that many times; what it was given, in order."""
    real, given = Recorder.handle, []

    def handle(self: Recorder, event: dict[str, Any]) -> None:
        given.append(str(event["kind"]))
        if len(given) <= times:
            raise error
        real(self, event)

    monkeypatch.setattr(Recorder, "handle", handle)
    return given


def test_what_could_not_be_written_is_tried_again(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = DatabaseError("The database is locked.", transient=True)
    given = failing(monkeypatch, locked, times=3)
    job = submit(steps=2)
    told = []
    run(runner, lambda: told.append(runner.trouble) or not row(job).open)  # type: ignore[func-returns-value]
    assert (row(job).state, row(job).result, row(job).done) == ("done", {"steps": 2}, 2)
    assert given == ["started"] * 4 + ["stage", "progress", "progress", "result", "end"]
    assert str(locked) in told and runner.trouble is None


@pytest.mark.parametrize("error", [DatabaseError("No such column."), KeyError("value")])
def test_what_can_never_be_written_fails_the_job(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    failing(monkeypatch, error, times=1)
    job = submit(steps=1000, seconds=0.01)
    run(runner, lambda: not row(job).open)
    assert row(job).state == "failed"
    assert (row(job).error or "").startswith(("No such column.", "Recording what the job"))


def test_what_cannot_be_prepared_fails_the_job(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = api.submit("merge", {"recipe": "method: [", "name": "x"}, title="x")
    run(runner, lambda: not row(job).open)
    assert row(job).state == "failed"
    assert "YAML" in (row(job).error or "")


def test_slots_are_filled_and_freed(home: Path) -> None:
    jobs = [api.submit("count", {"steps": 1, "seconds": 0.2}, title="x", group="g")
            for _ in range(4)]  # fmt: skip
    most = 0

    def watch(rows: Any) -> None:
        nonlocal most
        most = max(most, sum(one.state == "running" for one in rows))

    rows = inline.run_group_inline("g", watch, slots=2)
    assert [one.id for one in rows] == jobs
    assert {one.state for one in rows} == {"done"}
    assert most == 2


def test_inline_leaves_other_groups_alone(home: Path) -> None:
    other = submit()
    api.submit("count", {}, title="x", group="g")
    inline.run_group_inline("g", lambda rows: None)
    assert row(other).state == "queued"


def test_closing_puts_back_even_what_does_not_listen(runner: Runner) -> None:
    job = submit(steps=1000, seconds=0.05, stubborn=True)
    run(runner, lambda: row(job).done > 1)
    runner.close(0.0)
    assert (row(job).state, row(job).deaths) == ("queued", 0)


def test_signal_deaths_in_words() -> None:
    assert died_of(-signal.SIGKILL) == "killed by SIGKILL (often out of memory)"
    assert died_of(-signal.SIGSEGV) == "killed by SIGSEGV"
