"""A launcher without processes: the jobs run in a thread of the caller, and nobody kills them."""

from __future__ import annotations

import os
import threading
from typing import Any

from jobs.kinds import find
from jobs.running.child import report
from jobs.running.launch import Child
from jobs.running.runner import Runner
from tests.faults.load import Mix


class Here:
    """Runs each job's generator in a thread."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []

    def launch(self, key: str, request: dict[str, Any]) -> Child:
        """Start the thread."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        child = Child(key, reader)

        def work() -> None:
            try:
                child.code = report(writer, find(request["kind"])(request["spec"]))
            finally:
                os.close(writer)

        self._threads.append(threading.Thread(target=work, name=key))
        self._threads[-1].start()
        return child

    def places(self) -> dict[str, int]:
        """One job at a time, also where narrow ones could run beside each other."""
        return {"cpu": 1}

    def poll(self) -> None:
        """Nothing: the threads set their code themselves."""

    def descriptors(self) -> list[int]:
        """None."""
        return []

    def close(self) -> None:
        """Wait for the threads."""
        for thread in self._threads:
            thread.join()


def run_here(mix: Mix) -> None:
    """Run a mix of jobs in this process to its end."""
    mix.submit()
    runner = Runner(["cpu"], Here())
    try:
        while mix.open_jobs():
            runner.step(0.02)
    finally:
        runner.close()
