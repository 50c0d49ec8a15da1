"""Other troubles than kills, for the same mix of jobs: locks, clocks, a second application."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import time
from pathlib import Path

from tests.faults.clock import Clock
from tests.faults.load import Mix
from tests.faults.processes import App
from tests.faults.siege import Siege

HOURS = (-30, -6, -1, 0, 1, 6, 30)


class Locked(Siege):
    """Another program locks the database, once for longer than anybody waits for it."""

    SECONDS = (35.0, 1.0, 4.0)

    def __init__(self, app: App, mix: Mix, chance: random.Random) -> None:
        super().__init__(app, mix, chance, kills=len(self.SECONDS), weights={"lock": 1})

    def _strike(self, role: str) -> bool:
        other = sqlite3.connect(self.home / "crucible.db", timeout=30, isolation_level=None)
        with contextlib.closing(other):
            other.execute("begin exclusive")
            time.sleep(self.SECONDS[self.report.kills[role]])
            other.execute("commit")
        self.report.kills[role] += 1
        self._check()
        return True


class Clocked(Siege):
    """The clock of the application and all it starts is set forward and back by hours."""

    def __init__(self, app: App, mix: Mix, chance: random.Random, folder: Path) -> None:
        self.clock = Clock(folder)
        app.environment = {**app.environment, **self.clock.environment}
        super().__init__(app, mix, chance, kills=20, weights={"clock": 1})

    def _strike(self, role: str) -> bool:
        self.clock.set(3600 * self.chance.choice(HOURS))
        self.report.kills[role] += 1
        self._check()
        return True


class Shared(Siege):
    """Two applications on one home; the one that has the worker is killed, again and again."""

    def __init__(self, app: App, mix: Mix, chance: random.Random, second: App) -> None:
        self.second = second
        super().__init__(app, mix, chance, kills=4, weights={"web": 1}, pause_seconds=4.0)

    def _fight(self) -> None:
        self.second.start()
        try:
            super()._fight()
        finally:
            self.second.stop()

    def _strike(self, role: str) -> bool:
        moment = time.time()
        self.app.kill()
        self.app, self.second = self.second, self.app
        self.report.kills[role] += 1
        self._within(90.0, lambda: self._resumed(moment), lambda: "the other did not take over")
        self.report.resumed.append(time.time() - moment)
        self.second.start()
        return True

    def _web(self) -> set[int]:
        return {*super()._web(), *([self.second.process.pid] if self.second.process else [])}


class MemoryLimit:
    """A limit of memory that the kernel holds a process and its children to, by killing.

    Raises:
        OSError: this user may not set one here.
    """

    ROOT = Path("/sys/fs/cgroup/memory")

    def __init__(self) -> None:
        self._folder = self.ROOT / f"crucible-faults-{os.getpid()}"
        self._folder.mkdir()

    def hold(self, pid: int) -> None:
        """Hold a process, and what it starts from now on, to the limit."""
        (self._folder / "cgroup.procs").write_text(str(pid))

    def used(self) -> int:
        """Bytes in use that cannot be taken back without a kill."""
        said = dict(
            line.split() for line in (self._folder / "memory.stat").read_text().splitlines()
        )
        return int(said["total_rss"])

    def set(self, n_bytes: int) -> None:
        """Set the limit."""
        (self._folder / "memory.limit_in_bytes").write_text(str(n_bytes))

    def close(self) -> None:
        """Take the limit away; its processes must have ended."""
        deadline = time.monotonic() + 10
        while True:
            try:
                self._folder.rmdir()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
