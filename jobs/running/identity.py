"""Who a worker is, and whether another one still lives: host, process id, moment of birth."""

from __future__ import annotations

import os
import socket

import psutil


def worker_id(pid: int | None = None) -> str:
    """Name of a process that claims jobs, unique over hosts and reused process ids."""
    pid = pid or os.getpid()
    return f"{socket.gethostname()[:60]}:{pid}:{psutil.Process(pid).create_time():.2f}"


def is_gone(worker: str | None) -> bool:
    """Whether a worker of this host has certainly died; other hosts' workers are never judged."""
    try:
        host, pid, born = (worker or "").rsplit(":", 2)
        if host != socket.gethostname()[:60]:
            return False
        process = psutil.Process(int(pid))
        # The clock may be set while a process runs: its birth is then told up to that much off.
        # A lease that runs out catches what this test is too careful to call dead.
        return (
            process.status() == psutil.STATUS_ZOMBIE
            or abs(process.create_time() - float(born)) > 60
        )
    except psutil.NoSuchProcess:
        return True
    except (ValueError, psutil.Error):
        return False
