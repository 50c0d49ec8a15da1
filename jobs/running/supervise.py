"""The worker's life, as the application sees it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from db import settings
from jobs.running import lock
from jobs.running.lock import WorkerStatus

__all__ = ["WorkerStatus", "start_worker_if_needed", "stop_worker", "worker_status"]

PROJECT = Path(__file__).resolve().parents[2]
WATCH_SECONDS = 1.0
MOST_RESTARTS = 5  # in a row, before it is left alone


class _Supervisor:
    """The worker that this process has started, and the thread that looks after it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.watching: threading.Event | None = None

    def start(self) -> None:
        with self.lock:
            if self.process is not None and self.process.poll() is None:
                return
            if lock.status().alive:
                return
            self.process = _spawn()
            if self.watching is None:
                self.watching = threading.Event()
                threading.Thread(
                    target=self._watch, args=(self.watching,), name="worker-watch", daemon=True
                ).start()

    def stop(self, timeout_seconds: float) -> None:
        with self.lock:
            if self.watching is not None:
                self.watching.set()
                self.watching = None
            process, self.process = self.process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _watch(self, done: threading.Event) -> None:
        """Start the worker again when it was killed; not when it left by itself."""
        restarts = 0
        while not done.wait(WATCH_SECONDS):
            with self.lock:
                if self.process is None or done.is_set():
                    return
                code = self.process.poll()
                if code is None:
                    continue
                if code >= 0 or restarts >= MOST_RESTARTS or lock.status().alive:
                    self.process = self.watching = None
                    return
                restarts += 1
                self.process = _spawn()


_supervisor = _Supervisor()


def start_worker_if_needed() -> WorkerStatus:
    """Start a worker for this home unless one is alive; return at once, without waiting for it.

    The worker that this starts ends with this process, and is started again should it be killed.

    Raises:
        DatabaseError: the home cannot be written.
    """
    _supervisor.start()
    return worker_status()


def stop_worker(timeout_seconds: float = 10.0) -> None:
    """End the worker that this process started, cleanly: what it ran goes back into the queue."""
    _supervisor.stop(timeout_seconds)


def worker_status() -> WorkerStatus:
    """Whether a worker serves this home; one that was started just now counts as alive."""
    status = lock.status()
    process = _supervisor.process
    if not status.alive and process is not None and process.poll() is None:
        return WorkerStatus(alive=True, pid=process.pid, started=time.time())
    return status


def _spawn() -> subprocess.Popen[bytes]:
    with (settings.logs_folder() / "worker.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "jobs.running.worker", "--parent-pid", str(os.getpid())],
            cwd=PROJECT,
            env={**os.environ, **settings.absolute()},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl+C in the app's terminal is the app's: it stops us
        )
