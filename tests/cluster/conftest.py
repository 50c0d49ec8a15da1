"""A cluster of two nodes for a file's tests, and a worker that is one of its drivers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.jobs.conftest import home, kill, start_worker

__all__ = ["home", "start_worker"]

PROJECT = Path(__file__).resolve().parents[2]


@dataclass
class Machines:
    """The cluster's address, and the process of each node that is still there."""

    address: str
    raylets: dict[str, int]

    def cut_power(self, name: str) -> None:
        """Kill a node."""
        kill(self.raylets.pop(name))


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Machines]:
    """Two nodes of a core each, and a head without any."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cluster.machines", "2", "1"],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        yield Machines(**said)
    finally:
        process.stdin.close()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@pytest.fixture
def cluster(two_nodes: Machines, home: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    """The cluster, as what runs the jobs of this test's home."""
    monkeypatch.setenv("CRUCIBLE_RAY_ADDRESS", two_nodes.address)
    return two_nodes
