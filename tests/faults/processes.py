"""The processes of one home: which there are, what each is for, and killing one of them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PROJECT = Path(__file__).resolve().parents[2]
ROLES = ("child", "worker", "zygote", "web")
STAND_IN = ("-m", "tests.faults.stand_in")  # an application without pages
STREAMLIT = ("-m", "streamlit", "run", str(PROJECT / "app.py"), "--server.headless=true",
             "--server.port={port}")  # fmt: skip


def of_home(home: Path) -> dict[int, str]:
    """Process number -> role ("web", "worker", "zygote", "child" or "other"), zombies left out.

    A process belongs to a home when it was started with it in its environment.
    """
    mark = f"CRUCIBLE_HOME={home}".encode()
    found: dict[int, str] = {}
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(OSError, psutil.Error):
            started_with = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
            if mark in started_with and process.status() != psutil.STATUS_ZOMBIE:
                found[process.pid] = _role(process)
    return found


def _role(process: psutil.Process) -> str:
    said = " ".join(process.cmdline())
    if "jobs.running.zygote" in said:
        parent = process.parent()
        forked = parent is not None and "jobs.running.zygote" in " ".join(parent.cmdline())
        return "child" if forked else "zygote"
    names = {"jobs.running.child": "child", "jobs.running.worker": "worker",
             "tests.faults.stand_in": "web", "streamlit": "web"}  # fmt: skip
    return next((role for name, role in names.items() if name in said), "other")


def born(pid: int) -> float | None:
    """When a process was started, which tells it from a later one of its number; None: gone."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def with_descendants(pid: int) -> dict[int, float]:
    """A process and all it has started, each with its birth."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        whole = [process, *process.children(recursive=True)]
        return {one.pid: found for one in whole if (found := born(one.pid)) is not None}
    return {}


def still_alive(before: Mapping[int, float]) -> list[int]:
    """Which of these processes run on."""
    return [pid for pid, then in before.items() if born(pid) == then]


@contextlib.contextmanager
def frozen(home: Path) -> Iterator[None]:
    """Stop every process of a home for a moment, as a power cut stops all of them at once."""
    stopped = []
    for pid in of_home(home):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)
    for pid in stopped:
        with contextlib.suppress(OSError, IndexError):
            while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "TZX":
                time.sleep(0.001)
    try:
        yield
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@dataclass
class App:
    """An application on a home, started and killed again and again.

    Attributes:
        home: it works on.
        command: arguments of Python.
        environment: variables besides the caller's.
    """

    home: Path
    command: tuple[str, ...] = STAND_IN
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> int:
        """Start it; returns its number. Its output goes to `app.log` in the home."""
        with (self.home / "app.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.command],
                cwd=PROJECT,
                env={**os.environ, **self.environment, "CRUCIBLE_HOME": str(self.home)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self.process.pid

    def kill(self) -> None:
        """SIGKILL, and nothing else."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 60.0) -> None:
        """End it as Ctrl+C or a service manager does."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
