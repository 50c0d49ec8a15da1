"""Taking back the jobs of workers that are dead or silent."""

from __future__ import annotations

import time

from sqlalchemy import select

from db.engine import session, transaction
from db.tables import Job
from jobs.running import identity, queue

PATIENCE_SECONDS = 2.5 * queue.HEARTBEAT_SECONDS

_Lease = tuple[int, int, float]  # job, attempt, when it runs out


class Reaper:
    """Looks at the running jobs from time to time.

    A worker of this host that has died loses its jobs at once. Any other has to be silent: its
    lease must stay as it is while we look on, by our own stopwatch. A short while is enough where
    it has run out, for the clock may have jumped forward, and a living worker then renews its lease
    within moments. Where it has not, it is looked at for a lease's length: the clock may have been
    set back, or another machine's may be ahead, and a lease would then last for hours.
    """

    def __init__(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self.patience_seconds = patience_seconds
        self._seen: dict[_Lease, float] = {}  # when we first saw it, by our own stopwatch

    def reap(self) -> int:
        """Take back what is lost; return how many jobs that were."""
        with session() as opened:
            running = list(opened.scalars(select(Job).where(Job.state == "running")))
        lost = [row for row in running if identity.is_gone(row.worker) or self._silent(row)]
        kept = {self._lease(row) for row in running}
        self._seen = {lease: since for lease, since in self._seen.items() if lease in kept}
        if not lost:
            return 0
        taken = 0
        with transaction() as opened:
            for before in lost:
                row = opened.get_one(Job, before.id)
                if row.state == "running" and self._lease(row) == self._lease(before):
                    queue.bury(opened, row, "the worker that ran it was lost")
                    taken += 1
        return taken

    def _silent(self, row: Job) -> bool:
        since = self._seen.setdefault(self._lease(row), time.monotonic())
        unchanged_seconds = time.monotonic() - since
        if (row.lease_until or 0.0) < time.time():
            return unchanged_seconds >= self.patience_seconds
        return unchanged_seconds >= queue.LEASE_SECONDS + self.patience_seconds

    @staticmethod
    def _lease(row: Job) -> _Lease:
        return (row.id, row.attempt, row.lease_until or 0.0)
