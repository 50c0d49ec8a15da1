"""Who a worker is, and whether another one still lives: host, process id, birth.

On Linux a birth is told in ticks since the machine was started, with a name for this start and for
the container: no clock that somebody sets has a part in it. Elsewhere it is a time of day.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil

BOOT = Path("/proc/sys/kernel/random/boot_id")
TOLERANCE_SECONDS = 60.0  # that a time of day may be off, where a birth is told by one
_START_TICKS = 19  # of the fields of /proc/PID/stat after the name


def worker_id(pid: int | None = None) -> str:
    """Name of a process that claims jobs, unique over hosts and reused process ids."""
    pid = pid or os.getpid()
    return f"{_host()}:{pid}:{_birth(pid)}"


def is_gone(worker: str | None) -> bool:
    """Whether a worker of this host has certainly died; other hosts' workers are never judged."""
    try:
        host, number, born = (worker or "").rsplit(":", 2)
        if host != _host():
            return False
        if "@" in born and born.partition("@")[2] != _place():
            return False  # before a restart, or another machine of this name: its lease will tell
        pid = int(number)
        if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        return not _same(born, _birth(pid))
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return True
    except (ValueError, OSError, psutil.Error):
        return False


def _same(born: str, now: str) -> bool:
    if "@" in born or "@" in now:
        return born == now or ("@" in born) != ("@" in now)  # one was named by an older version
    return abs(float(born) - float(now)) <= TOLERANCE_SECONDS


def _birth(pid: int) -> str:
    if BOOT.exists():
        said = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        ticks = said.rpartition(")")[2].split()[_START_TICKS]
        return f"{ticks}@{_place()}"
    return f"{psutil.Process(pid).create_time():.2f}"


def _place() -> str:
    """This start of this machine, and within it the container."""
    names = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    return f"{BOOT.read_text('ascii').strip()[:8]}-{names}"


def _host() -> str:
    return socket.gethostname()[:60]
