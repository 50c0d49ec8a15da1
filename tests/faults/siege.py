"""A home at work whose processes are killed at random moments, and what is wrong then."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, select

from db.engine import session
from db.tables import Job
from jobs.running import lock
from tests.faults import invariants, processes
from tests.faults.load import Mix
from tests.faults.processes import App

WEIGHTS = {"child": 5, "worker": 3, "zygote": 2, "web": 2}
GONE_SECONDS = 30.0  # until all that a killed process had started is gone, on a busy machine
RESUMED_SECONDS = 90.0
AIM_SECONDS = 10.0  # that a process of the role chosen is waited for
ALL_SECONDS = 1800.0


@dataclass
class Report:
    """What happened.

    Attributes:
        kills: how many of each role.
        problems: sentences; none when every invariant held.
        resumed: seconds from each kill of worker, fork server or application to a job's start.
        gone: seconds from each kill until everything that the process had started was gone.
        cuts: power cuts looked at.
        presses: of *Try again*, on jobs given up because they were killed too often.
    """

    kills: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    resumed: list[float] = field(default_factory=list)
    gone: list[float] = field(default_factory=list)
    cuts: int = 0
    presses: int = 0

    def add(self, other: Report) -> None:
        """Add another's figures."""
        self.kills += other.kills
        self.problems += other.problems
        self.resumed += other.resumed
        self.gone += other.gone
        self.cuts += other.cuts
        self.presses += other.presses


class Siege:
    """Runs a mix of jobs in a home and kills while it runs.

    Args:
        app: an application that is not started yet. The caller works in its home
            (`load.working_in`).
        mix: what runs.
        chance: decides whom and when.
        kills: how many; fewer when the jobs end before.
        pause_seconds: between two of them, on average.
        weights: how often each role is taken.
        cut_power: whether the database is copied at each kill as a power cut would leave it.
    """

    def __init__(
        self,
        app: App,
        mix: Mix,
        chance: random.Random,
        *,
        kills: int,
        pause_seconds: float = 1.0,
        weights: dict[str, int] = WEIGHTS,
        cut_power: bool = True,
    ) -> None:
        self.app, self.home, self.mix, self.chance = app, app.home, mix, chance
        self.kills, self.pause_seconds, self.weights = kills, pause_seconds, weights
        self.cut_power = cut_power
        self.report = Report()

    def run(self) -> Report:
        """Submit, kill, wait until all has ended, and look at what is there."""
        self.app.start()
        try:
            self.mix.submit()
            self._fight()
        finally:
            self.app.stop()
        self._found(invariants.of_jobs())
        self._found(invariants.of_leftovers(self.home))
        self._check()
        self._within(GONE_SECONDS, lambda: not processes.of_home(self.home),
                     lambda: f"left after the end: {processes.of_home(self.home)}")  # fmt: skip
        if lock.status().alive:
            self.report.problems.append("the worker's lock is held by nobody that is known")
        return self.report

    def _fight(self) -> None:
        deadline = time.monotonic() + ALL_SECONDS
        due = time.monotonic() + self._pause()
        role: str | None = None
        while time.monotonic() < deadline:
            if not self.mix.open_jobs():
                presses = self.mix.try_again()
                self.report.presses += presses
                if not presses:
                    return
            if time.monotonic() >= due and sum(self.report.kills.values()) < self.kills:
                if role is None or time.monotonic() > due + AIM_SECONDS:
                    (role,) = self.chance.choices([*self.weights], [*self.weights.values()])
                if self._strike(role):
                    role, due = None, time.monotonic() + self._pause()
            time.sleep(0.02)
        self.report.problems.append(f"jobs were still open after {ALL_SECONDS:.0f} s")

    def _pause(self) -> float:
        return self.chance.expovariate(1 / self.pause_seconds)

    def _strike(self, role: str) -> bool:
        """Kill a process of a role; False when there is none now."""
        there = [pid for pid, has in processes.of_home(self.home).items() if has == role]
        if not there:
            return False
        pid = self.chance.choice(there)
        doomed = processes.with_descendants(pid)
        moment = time.time()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self.report.kills[role] += 1
        if self.cut_power:
            self.report.cuts += 1
            to = self.home / f"cut-{self.report.cuts}"
            self._found(invariants.of_power_cut(self.home, to, self.chance))
        began = time.monotonic()
        if role == "web":
            self.app.kill()
            time.sleep(self.chance.choice([0.0, 0.5, 2.0]))  # the user starts it again
            self.app.start()
        after = f"after the {role} was killed"
        self._within(GONE_SECONDS, lambda: not processes.still_alive(doomed),
                     lambda: f"{after}, {processes.still_alive(doomed)} ran on")  # fmt: skip
        self.report.gone.append(time.monotonic() - began)
        if role != "child" and self.chance.random() < 0.7:  # else the next blow may come first
            self._within(RESUMED_SECONDS, lambda: self._resumed(moment),
                         lambda: f"{after}, nothing was started again")  # fmt: skip
            self.report.resumed.append(time.time() - moment)
        self._check()
        return True

    def _resumed(self, moment: float) -> bool:
        with session() as opened:
            newest = opened.scalar(select(func.max(Job.started))) or 0.0
        return newest > moment or not self.mix.open_jobs()

    def _check(self) -> None:
        """What holds at any moment."""
        self._found(invariants.of_scores())
        self._found(invariants.of_models(self.home))
        left: list[str] = []

        def clean() -> bool:
            left[:] = invariants.of_processes(self.home, self._web())
            return not left

        self._within(GONE_SECONDS, clean, lambda: "; ".join(left))

    def _web(self) -> set[int]:
        """The living applications."""
        return {self.app.process.pid} if self.app.process else set()

    def _found(self, problems: list[str]) -> None:
        self.report.problems += [one for one in problems if one not in self.report.problems]

    def _within(self, seconds: float, holds: Callable[[], bool], said: Callable[[], str]) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                self.report.problems.append(f"{said()} ({seconds:.0f} s later)")
                return
            time.sleep(0.05)


def keep_logs(home: Path, to: Path) -> None:
    """Copy what was said in a home, to find out about a problem."""
    import shutil

    to.mkdir(parents=True, exist_ok=True)
    shutil.copytree(home / "logs", to / "logs", dirs_exist_ok=True)
    for name in ("app.log", "crucible.db", "crucible.db-wal"):
        if (home / name).exists():
            shutil.copy(home / name, to / name)
