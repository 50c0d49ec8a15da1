"""The kinds of jobs: each a generator of events that knows nothing of the database.

A kind is a module with `run(spec) -> Iterator[Event]`; the spec is complete (the worker has put
into it what only the database knows), so that the same generator can run in a child process here
or as a task on another machine.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jobs.errors import JobError

Event = dict[str, Any]
Run = Callable[[dict[str, Any]], Iterator[Event]]

KINDS: Mapping[str, str] = {
    "merge": "jobs.kinds.merge",
    "evaluate": "jobs.kinds.evaluate",
    "sandbox_build": "jobs.kinds.sandbox",
    "extract": "jobs.kinds.extract",
    "similarity": "jobs.kinds.similarity",
    "health": "jobs.kinds.health",
    "verify": "jobs.kinds.verify",
    "judge": "jobs.kinds.judge",
    "study": "jobs.kinds.study",
    "search": "jobs.kinds.search",
    "catalogue": "jobs.kinds.catalogue",
    "data": "jobs.kinds.data",
}
EXTRA_KINDS = "CRUCIBLE_JOB_KINDS"  # "name=module,name=module": kinds from outside the project


def known() -> dict[str, str]:
    """Kind to module, those that the environment adds included."""
    extra = [part.split("=", 1) for part in os.environ.get(EXTRA_KINDS, "").split(",") if part]
    return {**KINDS, **{part[0]: part[-1] for part in extra}}


def find(kind: str) -> Run:
    """The generator function of a kind.

    Raises:
        JobError: there is no such kind.
    """
    module = known().get(kind)
    if module is None:
        raise JobError(f"There is no job kind {kind!r}. There are: {', '.join(sorted(known()))}.")
    run: Run = importlib.import_module(module).run
    return run
