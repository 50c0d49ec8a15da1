"""One worker for each home: a lock on `worker.lock`, which also says who holds it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from db import settings
from jobs.errors import JobError


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """Whether a worker serves this home, and which."""

    alive: bool
    pid: int | None = None
    started: float | None = None  # UTC seconds since the epoch
    devices: tuple[str, ...] = ()  # one slot each: ("cpu",) or ("cuda:0", "cuda:1")


def path() -> Path:
    """The lock's file."""
    return settings.home() / "worker.lock"


def acquire(devices: Sequence[str], *, patience_seconds: float = 1.0) -> IO[str]:
    """Become the worker of this home; the lock is held until the file is closed.

    Raises:
        JobError: another worker serves this home.
    """
    deadline = time.monotonic() + patience_seconds
    file = path().open("a+", encoding="utf-8")
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            # Somebody who only asks (`status`) holds the lock for an instant.
            if time.monotonic() > deadline:
                file.close()
                raise JobError(already_running()) from None
            time.sleep(0.05)
    file.truncate(0)
    json.dump({"pid": os.getpid(), "started": time.time(), "devices": list(devices)}, file)
    file.flush()
    return file


def status() -> WorkerStatus:
    """Whether somebody holds the lock; the kernel lets go of a dead process' lock."""
    try:
        with path().open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return _read(file)
            return WorkerStatus(alive=False)
    except OSError:
        return WorkerStatus(alive=False)


def already_running() -> str:
    """The sentence for a second worker."""
    pid = status().pid
    who = f" (process {pid})" if pid else ""
    return (
        f"A worker{who} already serves {settings.home()}. One is enough: it runs one job for each "
        "GPU at a time. Stop that one first, or set CRUCIBLE_HOME to another folder."
    )


def _read(file: IO[str]) -> WorkerStatus:
    try:
        said = json.load(file)
        return WorkerStatus(True, said["pid"], said["started"], tuple(said["devices"]))
    except (ValueError, KeyError, TypeError):  # taken this very moment
        return WorkerStatus(alive=True)
