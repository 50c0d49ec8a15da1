"""The worker's life, as the application sees it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from db import settings
from db.errors import DatabaseError
from jobs.running import lock
from jobs.running.lock import WorkerStatus

__all__ = ["WorkerStatus", "start_worker_if_needed", "stop_worker", "worker_status"]

PROJECT = Path(__file__).resolve().parents[2]
EXIT_WRONG = 2  # of a worker: a newer database, or another worker
WATCH_SECONDS = 1.0
MOST_WAIT_SECONDS = 8.0  # before a worker that keeps ending is started again
MOST_REFUSALS = 3  # ends in a row with "wrong input", before it is left alone
LONG_ENOUGH_SECONDS = 30.0  # a worker that lived so long has not failed at once


class _Supervisor:
    """The worker that this process has started, and the thread that looks after it.

    Where another application's worker serves this home, the thread waits: should that one end, it
    starts one of its own.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.watching: threading.Event | None = None
        self.born = 0.0
        self.failures = 0  # ends in a row, each soon after the start
        self.not_before = 0.0

    def start(self) -> None:
        with self.lock:
            if self.process is None or self.process.poll() is not None:
                self.process, self.failures = None, 0
                if not lock.status().alive:
                    self._begin()
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

    def _begin(self) -> None:
        self.process = _spawn()
        self.born = time.monotonic()

    def _watch(self, done: threading.Event) -> None:
        while not done.wait(WATCH_SECONDS):
            with self.lock:
                if done.is_set():
                    return
                try:
                    self._look()
                except (OSError, DatabaseError) as error:  # a full disk: it is asked again
                    print(f"Crucible: {error}", file=sys.stderr, flush=True)
                    self._wait()
                if self.watching is None:
                    return

    def _look(self) -> None:
        """Start a worker where none serves the home; not one that has left by itself."""
        if self.process is not None:
            code = self.process.poll()
            if code is None:
                return
            self.process = None
            if code == 0:  # somebody has stopped it
                self.watching = None
                return
            self._wait()
            if code == EXIT_WRONG and self.failures > MOST_REFUSALS and not lock.status().alive:
                self.watching = None
                return
        if time.monotonic() >= self.not_before and not lock.status().alive:
            self._begin()

    def _wait(self) -> None:
        """Wait the longer, the more often it has ended in a row."""
        if time.monotonic() - self.born > LONG_ENOUGH_SECONDS:
            self.failures = 0
        wait = min(MOST_WAIT_SECONDS, 2.0**self.failures - 1)
        self.failures += 1
        self.not_before = time.monotonic() + wait


_supervisor = _Supervisor()


def start_worker_if_needed() -> WorkerStatus:
    """Start a worker for this home unless one is alive; return at once, without waiting for it.

    The worker that this starts ends with this process, and is started again should it be killed.
    Where another process' worker serves, one is started as soon as that one has ended.

    Raises:
        DatabaseError: the home cannot be written.
    """
    _supervisor.start()
    return worker_status()


def stop_worker(timeout_seconds: float = 10.0) -> None:
    """End the worker that this process started, cleanly: what it ran goes back into the queue."""
    _supervisor.stop(timeout_seconds)


def worker_status() -> WorkerStatus:
    """Whether anybody serves this home; one that was started just now counts as alive."""
    serving = lock.workers()
    devices = tuple(device for one in serving for device in one.devices)
    status = replace(serving[0], devices=devices) if serving else WorkerStatus(alive=False)
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
