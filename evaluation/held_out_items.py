"""Which documents of loaded tasks are in a part of a suite's split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluation import holdout
from evaluation.errors import EvaluationError
from evaluation.harness.task_files import TaskFile
from evaluation.harness.tasks import load_task
from evaluation.suites import Suite


def kept(
    suite: Suite, loaded: Mapping[str, Any], files: Mapping[str, TaskFile], part: holdout.Part
) -> dict[str, list[int]]:
    """Numbers of the documents of each loaded task that are in the part, ascending.

    The split is over all tasks of the suite, the ones that are not asked now (because they are
    scored already, or not wanted) included: an item that two tasks share must fall in the same
    part whichever of them is asked. A task whose data cannot be read takes no part.
    """
    sources = {}
    for name in suite.tasks:
        task = loaded.get(name)
        if task is None:
            try:
                task = load_task(suite, name, dict(files))
            except EvaluationError:
                continue
        sources[name] = sources_of(task)
    chosen = holdout.split(sources, part.seed, part.share)
    wanted = part.name == holdout.SEARCH
    return {
        name: [i for i, search in enumerate(chosen[name]) if search is wanted] for name in loaded
    }


def sources_of(task: Any) -> list[holdout.Source]:
    """The source of each document that a task asks, in the harness's order."""
    field = (task.config.metadata or {}).get("cluster")
    return [holdout.source(doc, field) for doc in task.eval_docs]
