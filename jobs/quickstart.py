"""The two-minute example: finance + instruct - base, scored beside its parents."""

from __future__ import annotations

from jobs.errors import JobError
from jobs.models import registry
from jobs.running import api

SUITE = "sandbox"
RECIPE = """\
name: finance-chat
method: instruction_residual
base: sandbox/base
models:
  - {model: sandbox/finance, role: expert}
  - {model: sandbox/instruct, role: instruct}
options: {alpha: 1.0, expert_scale: 1.0}
"""


def submit() -> str:
    """Register the shipped models, queue the example's jobs and return their group.

    Raises:
        JobError: the shipped models are not there.
    """
    if registry.ensure_sandbox() == 0:
        raise JobError(
            "The shipped models are missing from the folder sandbox/. Get the project complete, "
            "or train them with `python cli.py sandbox build`.",
            exit_code=1,
        )
    return api.merge_and_benchmark(RECIPE, suite=SUITE)
