"""Run a group of jobs to its end from a terminal, recorded like everything else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from db.queries.jobs import JobRow


def run_group_inline(
    group: str, on_change: Callable[[Sequence[JobRow]], None], *, slots: int | None = None
) -> list[JobRow]:
    """Run a group's jobs in child processes of this one until all have ended; return them.

    `on_change` gets the group's rows several times a second. A live worker may take some of the
    jobs; that is waited for. On KeyboardInterrupt the group is cancelled before it is raised on.
    """
    raise NotImplementedError
