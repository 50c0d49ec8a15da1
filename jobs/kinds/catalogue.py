"""Index the names of lm-evaluation-harness's own tasks, once for each of its versions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jobs.errors import JobError
from jobs.kinds import Event


def run(spec: dict[str, Any]) -> Iterator[Event]:
    """Read every task file of lm-eval and keep the names in the cache.

    Args:
        spec: nothing is read from it.

    Raises:
        JobError: the cache cannot be written.
    """
    from evaluation.harness.catalogue import build

    try:
        yield from build()
    except OSError as error:
        raise JobError(
            f"The index of lm-eval's tasks cannot be kept: {error}.", exit_code=1
        ) from error
