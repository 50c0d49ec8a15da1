"""A cluster of two nodes for a file's tests, and a worker that is one of its drivers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.jobs.conftest import home, kill, wait_for

__all__ = ["home"]

PROJECT = Path(__file__).resolve().parents[2]


@dataclass
class Machines:
    """The cluster's address, and the process of each node that is still there."""

    address: str
    raylets: dict[str, int]

    def cut_power(self, name: str) -> None:
        """Kill a node."""
        kill(self.raylets.pop(name))


@contextmanager
def started(nodes: int, cores: int, gpus: int = 0) -> Iterator[Machines]:
    """A cluster of so many nodes, each with so many cores and GPUs, and a head without any."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cluster.machines", str(nodes), str(cores), str(gpus)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        yield Machines(**json.loads(process.stdout.readline()))
    finally:
        process.stdin.close()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Machines]:
    """Two nodes of a core each."""
    with started(2, 1) as machines:
        yield machines


@pytest.fixture
def cluster(two_nodes: Machines, home: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    """The cluster, as what runs the jobs of this test's home."""
    monkeypatch.setenv("CRUCIBLE_RAY_ADDRESS", two_nodes.address)
    return two_nodes


@pytest.fixture
def start_worker(
    cluster: Machines, tmp_path: Path
) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start a worker process and wait until it has joined the cluster; what it says is shown."""
    output = tmp_path / "worker.txt"
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        with output.open("a") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "jobs.running.worker"],
                cwd=PROJECT,
                stdout=file,
                stderr=file,
                text=True,
            )
        started.append(process)
        joined = len(started)
        wait_for(lambda: output.read_text().count("worker: serving") == joined, 120)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    print(output.read_text())
