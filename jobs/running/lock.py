"""Who works for a home: locks on files, which also say who holds them.

The worker of a home holds `worker.lock`; there is one, so that nobody starts a second one by
mistake. Others may work beside it when they are asked to (`worker-2.lock` and so on): which job is
whose is decided in the database alone. A GPU serves one worker at a time (`gpu-0.lock`).
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from db import settings
from jobs import devices as hardware
from jobs.errors import JobError

SIGNATURE_CHARACTERS = 2000
STARTED = time.time()  # of this process, as good as
MOST_WORKERS = 64  # of one home; others may serve the same database from homes of their own


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """Whether a worker serves this home, and which."""

    alive: bool
    pid: int | None = None
    started: float | None = None  # UTC seconds since the epoch
    devices: tuple[str, ...] = ()  # one slot each: ("cpu",) or ("cuda:0", "cuda:1")
    trouble: str | None = None  # why jobs wait, as a sentence: the database cannot be written ...


def path(number: int = 1) -> Path:
    """The lock's file, of the home's own worker or of another one."""
    return settings.home() / ("worker.lock" if number == 1 else f"worker-{number}.lock")


def acquire(devices: Sequence[str], *, patience_seconds: float = 1.0) -> IO[str]:
    """Become the worker of this home; the lock is held until the file is closed.

    Raises:
        JobError: another worker serves this home.
    """
    file = _lock(path(), patience_seconds)
    if file is None:
        raise JobError(already_running())
    sign(file, devices)
    return file


def acquire_beside(devices: Sequence[str]) -> IO[str]:
    """Work for this home beside others; the lock is held until the file is closed.

    Raises:
        JobError: too many do already.
    """
    for number in range(2, MOST_WORKERS + 1):
        file = _lock(path(number), 0.0)
        if file is not None:
            sign(file, devices)
            return file
    raise JobError(f"{MOST_WORKERS} workers serve {settings.home()} already; that is the most.")


def hold_devices(wanted: Sequence[str], *, every: bool = True) -> tuple[list[str], ExitStack]:
    """Keep other workers of this home off these GPUs until the stack is closed.

    Args:
        wanted: "cpu", "cuda:0" ...
        every: whether all are needed; False leaves out those that others hold.

    Returns:
        The devices held, and what holds them.

    Raises:
        JobError: another worker holds one that is needed, or all of them.
    """
    held, stack = [], ExitStack()
    gpus = hardware.visible_gpus()
    for device in wanted:
        if device.startswith("cuda:"):
            file = _lock(settings.home() / f"gpu-{gpus[int(device[5:])]}.lock", 0.2)
            if file is None and every:
                stack.close()
                raise JobError(
                    f"Another worker of {settings.home()} runs jobs on {device}. Name other "
                    "devices, or stop that worker."
                )
            if file is None:
                continue
            stack.callback(file.close)
        held.append(device)
    if not held:
        raise JobError(f"Other workers of {settings.home()} hold every GPU. One a GPU is enough.")
    return held, stack


def status() -> WorkerStatus:
    """Whether the home has its worker; the kernel lets go of a dead process' lock."""
    return _status(path())


def workers() -> list[WorkerStatus]:
    """Everybody who works for this home, its own worker first."""
    others = sorted(settings.home().glob("worker-*.lock"))
    return [found for found in map(_status, (path(), *others)) if found.alive]


def already_running() -> str:
    """The sentence for a second worker."""
    pid = status().pid
    who = f" (process {pid})" if pid else ""
    return (
        f"A worker{who} already serves {settings.home()}. One is enough: it runs one job for each "
        "GPU at a time. Stop that one first, start this one with --beside, or set CRUCIBLE_HOME "
        "to another folder."
    )


def _lock(file_path: Path, patience_seconds: float) -> IO[str] | None:
    """The file, locked; None when somebody else has it."""
    deadline = time.monotonic() + patience_seconds
    file = os.fdopen(os.open(file_path, os.O_RDWR | os.O_CREAT, 0o644), "r+", encoding="utf-8")
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except OSError:
            # Somebody who only asks (`status`) holds the lock for an instant.
            if time.monotonic() > deadline:
                file.close()
                return None
            time.sleep(0.05)


def sign(file: IO[str], devices: Sequence[str], trouble: str | None = None) -> None:
    """Write into a lock's file who holds it, for which devices, and what is in the way.

    It is always as long, so that a change needs no room on the disk.
    """
    said = {"pid": os.getpid(), "started": STARTED, "devices": list(devices), "trouble": trouble}
    file.seek(0)
    file.write(json.dumps(said).ljust(SIGNATURE_CHARACTERS))
    file.truncate()
    file.flush()


def _status(file_path: Path) -> WorkerStatus:
    with suppress(OSError), file_path.open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return _read(file)
    return WorkerStatus(alive=False)


def _read(file: IO[str]) -> WorkerStatus:
    try:
        said = json.load(file)
        devices = tuple(said["devices"])
        return WorkerStatus(True, said["pid"], said["started"], devices, said.get("trouble"))
    except (ValueError, KeyError, TypeError):  # taken this very moment
        return WorkerStatus(alive=True)
