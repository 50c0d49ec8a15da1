"""Jobs that need a single core run beside each other on a CPU; the others wait for their slot."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from db.engine import transaction
from jobs.running import api, queue
from jobs.running.launch import Launcher
from jobs.running.runner import Run, Runner
from tests.jobs.conftest import row


def running(**narrow: list[bool]) -> list[Run]:
    jobs = [SimpleNamespace(device=device, claim=SimpleNamespace(spec={"narrow": one}))
            for device, each in narrow.items() for one in each]  # fmt: skip
    return cast("list[Run]", jobs)


def runner(*devices: str, cores: dict[str, int] | None = None) -> Runner:
    return Runner(list(devices), cast("Launcher", SimpleNamespace(places=lambda: cores)))


def test_only_narrow_jobs_are_claimed_beside_others(home: Path) -> None:
    specs: list[dict[str, Any]] = [{}, {"narrow": False}, {"narrow": None}, {"narrow": True}]
    wide, no, none, narrow = (api.submit("count", spec, title="Count") for spec in specs)
    claimed = queue.claim("me", "cpu", narrow=True)
    assert claimed is not None and claimed.job_id == narrow
    assert queue.claim("me", "cpu", narrow=True) is None
    order = []
    while (one := queue.claim("me", "cpu")) is not None:
        order.append(one.job_id)
    assert order == [wide, no, none]
    with transaction() as opened:
        queue.write(opened, claimed, stage="x")
    assert row(narrow).stage == "x"


@pytest.mark.parametrize(
    ("devices", "narrow", "room"),
    [
        (["cpu"], [True], True),
        (["cpu"], [True, True], True),
        (["cpu"], [True, True, True], False),  # as many as there are cores
        (["cpu"], [False], False),  # a wide job takes all of them
        (["cpu"], [True, False], False),
        (["cuda:0"], [True], False),
        (["cpu", "cpu"], [True, True], True),
    ],
)
def test_room_beside(
    devices: list[str], narrow: list[bool], room: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    one = runner(*devices)
    one.runs = running(**{devices[0]: narrow})
    assert one._place() == ((devices[0], True) if room else (None, False))


@pytest.mark.parametrize(
    ("runs", "place"),
    [
        ({}, ("a", False)),
        ({"a": [True]}, ("b", False)),  # every node first, then beside
        ({"a": [True], "b": [True]}, ("a", True)),
        ({"a": [True, True], "b": [True]}, (None, False)),  # each has its own cores
        ({"a": [False], "b": [True]}, (None, False)),
    ],
)
def test_slots_that_a_cluster_has(
    runs: dict[str, list[bool]], place: tuple[str | None, bool]
) -> None:
    one = runner("ray", cores={"a": 2, "b": 1})
    one.runs = running(**runs)
    assert one._place() == place
