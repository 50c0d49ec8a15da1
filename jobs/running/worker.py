"""The worker: `python -m jobs.running.worker` runs queued jobs until it is told to stop.

SIGTERM (or Ctrl+C) ends it cleanly: what it runs goes back into the queue with its progress.

A home has one worker. With `--beside` any number work for one database, from one home or several:
each claims jobs of its own and takes over what a dead one has left.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import IO, Any

from db import settings
from db.engine import open_database
from db.errors import DatabaseError
from jobs import caches, devices
from jobs.errors import JobError
from jobs.running import lock
from jobs.running.launch import best_launcher
from jobs.running.runner import Runner

RETRY_SECONDS = 1.0  # between attempts to open a database that does not answer


class Worker:
    """One worker of a home.

    Args:
        parent_pid: end when this process, which started the worker, is gone.
        beside: work although the home has its worker already.
        slots: devices to run jobs on, one at a time each; default: every GPU that no other worker
            of the home has, or the CPU.
    """

    def __init__(
        self,
        *,
        parent_pid: int | None = None,
        beside: bool = False,
        slots: Sequence[str] = (),
    ) -> None:
        self.parent_pid = parent_pid
        self.beside = beside
        self.slots = tuple(slots)
        self.stopping = False

    def run(self) -> None:
        """Serve the queue until SIGTERM, SIGINT or the end of the parent.

        Raises:
            JobError: another worker serves this home, or one of the devices.
            DatabaseError: the database cannot be opened.
        """
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._stop)
            signal.signal(signal.SIGINT, self._stop)
        with ExitStack() as held:
            mine, slots = self._take_place(held)
            caches.use_home()
            if not self._opened():
                return
            launcher = best_launcher(log=settings.logs_folder() / "worker.log")
            runner = Runner(slots, launcher)
            say(f"serving {settings.home()} on {', '.join(slots)}, process {os.getpid()}")
            try:
                self._loop(runner, lambda trouble: lock.sign(mine, slots, trouble))
            finally:
                runner.close()
            say("stopped; what was running is back in the queue")

    def _opened(self) -> bool:
        """Open the database, whose server may still be starting; whether it is open.

        Raises:
            DatabaseError: waiting would not help.
        """
        told: str | None = None
        while not self.stopping and not self._orphaned():
            try:
                open_database()
                return True
            except DatabaseError as error:
                if not error.transient:
                    raise
                if str(error) != told:
                    told = str(error)
                    say(told)
            time.sleep(RETRY_SECONDS)
        return False

    def _take_place(self, held: ExitStack) -> tuple[IO[str], list[str]]:
        """Take the locks of a worker, to be let go of with `held`; return its file and slots."""
        wanted = list(self.slots) or devices.own_slots()
        mine: IO[str] | None = None
        if not self.beside:
            mine = held.enter_context(lock.acquire(wanted))
        slots, gpus = lock.hold_devices(wanted, every=bool(self.slots))
        held.enter_context(gpus)
        if mine is None:
            mine = held.enter_context(lock.acquire_beside(slots))
        else:
            lock.sign(mine, slots)
        return mine, slots

    def _loop(self, runner: Runner, tell: Callable[[str | None], None]) -> None:
        told: str | None = None
        while not self.stopping and not self._orphaned():
            runner.step()
            if runner.trouble != told:
                told = runner.trouble
                with suppress(OSError):
                    tell(told)  # for the pages
                say(told or "the database can be written again")

    def _orphaned(self) -> bool:
        return self.parent_pid is not None and os.getppid() != self.parent_pid

    def _stop(self, _number: int, _frame: Any) -> None:
        self.stopping = True


def say(text: str) -> None:
    """Announce something in the terminal, or in the log of whoever started the worker."""
    with suppress(OSError):  # the disk that the log is on may be full
        print(f"{time.strftime('%H:%M:%S')} worker: {text}", flush=True)


def chosen(text: str) -> list[str]:
    """The slots that somebody has named, separated by commas; none for the default.

    Raises:
        JobError: a device that is not here, or a GPU that is named twice.
    """
    named = [part.strip() for part in text.split(",") if part.strip()]
    here = ["cpu", *(one for one in devices.local() if one != "cpu")]
    for device in named:
        if device not in here:
            raise JobError(f"There is no device {device!r} here. There are: {', '.join(here)}.")
        if device != "cpu" and named.count(device) > 1:
            raise JobError(f"{device} is named twice: a GPU runs one job at a time.")
    return named


def main() -> int:
    """Run a worker from the command line; return the exit code."""
    parser = argparse.ArgumentParser(description="Run Crucible's queued jobs.")
    parser.add_argument("--parent-pid", type=int, help="end when this process is gone")
    parser.add_argument("--beside", action="store_true", help="work beside the home's worker")
    parser.add_argument("--devices", default="", help="slots, such as cuda:0,cuda:1 or cpu,cpu")
    arguments = parser.parse_args()
    try:
        slots = chosen(arguments.devices)
        Worker(parent_pid=arguments.parent_pid, beside=arguments.beside, slots=slots).run()
    except Exception as error:
        if not hasattr(error, "exit_code"):
            raise
        print(error, file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
