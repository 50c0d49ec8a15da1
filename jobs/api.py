"""What screens and terminal ask of the queue. Each call returns at once; the worker does the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from merging.recipe import Recipe


def submit(
    kind: str,
    spec: Mapping[str, Any],
    *,
    title: str,
    group: str | None = None,
    priority: int = 0,
    needs: Sequence[int] = (),
) -> int:
    """Put one job into the queue and return its number.

    Args:
        kind: what to run: "merge", "evaluate" or "sandbox_build".
        spec: its arguments, JSON-able.
        title: a line for the user.
        group: name that ties together the jobs of one press.
        priority: higher runs first.
        needs: jobs that must be done before; if one of them fails, this one fails too.

    Raises:
        JobError: an unknown kind, or a spec that is not JSON.
        DatabaseError: the database cannot be written.
    """
    raise NotImplementedError


def merge_and_benchmark(
    recipe: Recipe | str,
    *,
    name: str | None = None,
    suite: str | None = None,
    limit: int | None = None,
    with_parents: bool = True,
    device: str = "auto",
) -> str:
    """Merge by a recipe, then score the result and its parents; return the group's name.

    A merge that was made before by the same recipe from the same parents is used again, and scores
    that are there under the same configuration are not made again; those jobs are in the group
    already, as done, and their `stage` says so.

    Args:
        recipe: the recipe, or its YAML text.
        name: name of the merge in the registry and of its folder; default from the recipe.
        suite: suite to score on; None merges only.
        limit: items per task; None for all.
        with_parents: whether the constituents are scored too.
        device: "auto", "cpu" or "cuda".

    Raises:
        RecipeError, ModelError, SuiteError, JobError: wrong input, in one sentence.
    """
    raise NotImplementedError


def benchmark(
    models: Sequence[str],
    suite: str,
    *,
    limit: int | None = None,
    tasks: Sequence[str] | None = None,
    device: str = "auto",
) -> str:
    """Score models on a suite, a job each; return the group's name.

    Args:
        models: registered names, folders, Hub ids, or paths of recipe files (merged in memory).
        suite: name of a suite, or path of its file.
        limit: items per task; None for all.
        tasks: only these of the suite's tasks.
        device: "auto", "cpu" or "cuda".
    """
    raise NotImplementedError


def cancel(job_id: int) -> bool:
    """Ask for a job to be stopped; False when it had ended already. Queued jobs stop at once."""
    raise NotImplementedError


def cancel_group(group: str) -> int:
    """Ask for every open job of a group to be stopped; return how many there were."""
    raise NotImplementedError


def retry(job_id: int) -> int:
    """Put a failed or cancelled job into the queue again (as itself); return its number."""
    raise NotImplementedError
