"""The zygote and the plain launcher, without a worker around them."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobs.running.child import EXIT_TERMINATED
from jobs.running.launch import Child, Launcher, Plain, Warm
from tests.jobs.conftest import wait_for


def request(log: Path, kind: str = "count", **spec: Any) -> dict[str, Any]:
    return {"kind": kind, "spec": spec, "log": str(log), "environment": {"MARK": "set"}}


@pytest.fixture(params=[Warm, Plain])
def launcher(home: Path, request: pytest.FixtureRequest) -> Iterator[Launcher]:
    made = request.param()
    yield made
    made.close()


def family() -> set[int]:
    """This process' living descendants."""
    return {
        process.pid
        for process in psutil.Process().children(recursive=True)
        if process.status() != psutil.STATUS_ZOMBIE
    }


def ended(launcher: Launcher, child: Child) -> int:
    def over() -> bool:
        launcher.poll()
        return child.code is not None

    wait_for(over)
    assert child.code is not None
    return child.code


def events(child: Child) -> str:
    return os.read(child.events, 1 << 16).decode()


def test_a_child_reports_and_ends(launcher: Launcher, tmp_path: Path) -> None:
    child = launcher.launch("1.1", request(tmp_path / "log", steps=1))
    assert ended(launcher, child) == 0
    said = events(child)
    assert '"kind": "started"' in said and said.endswith('{"kind": "end"}\n')
    assert "goes to the log" in (tmp_path / "log").read_text()
    child.bury()


def test_children_run_side_by_side(launcher: Launcher, tmp_path: Path) -> None:
    began = time.monotonic()
    children = [
        launcher.launch(f"{n}.1", request(tmp_path / str(n), steps=1, seconds=1.0))
        for n in range(3)
    ]
    assert [ended(launcher, child) for child in children] == [0, 0, 0]
    if isinstance(launcher, Warm):
        assert time.monotonic() - began < 2.9


def test_a_signal_sent_before_the_start_is_known_is_not_lost(
    launcher: Launcher, tmp_path: Path
) -> None:
    child = launcher.launch("1.1", request(tmp_path / "log", steps=1000, seconds=0.05))
    child.send(signal.SIGTERM)

    def over() -> bool:
        launcher.poll()
        try:
            said = os.read(child.events, 4096).decode()
        except BlockingIOError:
            said = ""
        if '"kind": "started"' in said and child.pid is None:
            child.started(json.loads(said.splitlines()[0])["pid"])
        return child.code is not None

    wait_for(over)
    assert child.code in (EXIT_TERMINATED, -signal.SIGTERM)


def test_closing_ends_everything(launcher: Launcher, tmp_path: Path) -> None:
    before = family()
    launcher.launch("1.1", request(tmp_path / "log", steps=1000, seconds=0.05))
    wait_for(lambda: (tmp_path / "log").exists())
    assert family() - before
    launcher.close()
    wait_for(lambda: family() - before == set())


def test_a_withdrawn_request_is_never_started(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A merge waits in the zygote until its imports are made; cancelled, it leaves the line."""
    monkeypatch.setenv("CRUCIBLE_WARM", "1")
    launcher = Warm()
    child = launcher.launch("1.1", request(tmp_path / "log", kind="evaluate"))
    child.send(signal.SIGTERM)
    assert ended(launcher, child) == -signal.SIGTERM
    launcher.close()
    assert not (tmp_path / "log").exists()
