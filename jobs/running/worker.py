"""The worker: `python -m jobs.running.worker` runs queued jobs until it is told to stop.

SIGTERM (or Ctrl+C) ends it cleanly: what it runs goes back into the queue with its progress.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from typing import Any

from db import settings
from db.engine import open_database
from jobs import caches, devices
from jobs.running import lock
from jobs.running.launch import best_launcher
from jobs.running.runner import Runner


class Worker:
    """One worker of a home.

    Args:
        parent_pid: end when this process, which started the worker, is gone.
    """

    def __init__(self, *, parent_pid: int | None = None) -> None:
        self.parent_pid = parent_pid
        self.stopping = False

    def run(self) -> None:
        """Serve the queue until SIGTERM, SIGINT or the end of the parent.

        Raises:
            JobError: another worker serves this home.
            DatabaseError: the database cannot be opened.
        """
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._stop)
            signal.signal(signal.SIGINT, self._stop)
        slots = devices.devices()
        with lock.acquire(slots):
            caches.use_home()
            open_database()
            launcher = best_launcher(log=settings.logs_folder() / "worker.log")
            runner = Runner(slots, launcher)
            say(f"serving {settings.home()} on {', '.join(slots)}, process {os.getpid()}")
            try:
                self._loop(runner)
            finally:
                runner.close()
            say("stopped; what was running is back in the queue")

    def _loop(self, runner: Runner) -> None:
        told: str | None = None
        while not self.stopping and not self._orphaned():
            runner.step()
            if runner.trouble != told:
                told = runner.trouble
                say(told or "the database can be written again")

    def _orphaned(self) -> bool:
        return self.parent_pid is not None and os.getppid() != self.parent_pid

    def _stop(self, _number: int, _frame: Any) -> None:
        self.stopping = True


def say(text: str) -> None:
    """Announce something in the terminal, or in the log of whoever started the worker."""
    print(f"{time.strftime('%H:%M:%S')} worker: {text}", flush=True)


def main() -> int:
    """Run a worker from the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Run Crucible's queued jobs.")
    parser.add_argument("--parent-pid", type=int, help="end when this process is gone")
    arguments = parser.parse_args()
    try:
        Worker(parent_pid=arguments.parent_pid).run()
    except Exception as error:
        if not hasattr(error, "exit_code"):
            raise
        print(error, file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
