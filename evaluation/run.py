"""Evaluate one loaded model on a suite: a generator of events.

``evaluate`` is the whole story; ``task_configs`` and ``config_hash`` say, before any model is
loaded, under which configuration each task would be scored.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from evaluation.configs import config_hash, task_configs
from evaluation.errors import EvaluationError, SuiteError
from evaluation.harness.group_totals import group_totals
from evaluation.holdout import Part
from evaluation.published.folder import is_here
from evaluation.scoring.loading import load_model, scoring_dtype
from evaluation.suites import Suite, nearest

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from evaluation.journal import Journal
    from evaluation.prepared import Prepared

__all__ = ["config_hash", "evaluate", "load_model", "scoring_dtype", "task_configs"]

Event = dict[str, Any]

# Below this many parameters a second thread costs more in waiting than it computes.
_ONE_THREAD_PARAMETERS = 20_000_000


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    suite: Suite,
    *,
    tasks: Sequence[str] | None = None,
    limit: int | None = None,
    part: Part | None = None,
    model_label: str = "",
    skip: Collection[str] = frozenset(),
    prepared: Prepared | None = None,
    journal: Journal | None = None,
    halvings: int = 0,
) -> Iterator[Event]:
    """Score a model on the tasks of a suite.

    A task that cannot be asked or scored gets a ``task_error`` event and the suite goes on. The
    generator yields at least once per batch, so closing it (or no longer asking it) cancels.

    Args:
        model: a transformers causal language model in memory, on its device and in its dtype.
        tokenizer: its tokenizer.
        suite: from ``load_suite``.
        tasks: only these tasks of the suite.
        limit: only the first so many items of each task (of the part).
        part: only the items of this part of a split (``evaluation.holdout``), None for all.
        model_label: how the result event calls the model.
        skip: tasks not to score (already scored under the same configuration).
        prepared: tasks, prompts and tokens from models before, which share the tokenizer, suite,
            limit and part; the scores are the same without.
        journal: where this model's replies are kept while a task is not finished, and found again
            by the next run; None to keep none. A score's event names the ``journal`` file that
            belongs to it, for whoever records the score to delete (``evaluation.journal.forget``).
        halvings: how often less than usual is to be in memory at a time, because it ran out: half
            the batch, a quarter ... What is scored is the same.

    Yields:
        stage, progress, warning, log, score, task_error and, last, result events::

            {"kind": "score", "task", "domain", "task_version", "metric", "value", "stderr", "n",
             "higher_is_better", "metrics": {name: {"value", "stderr"}}, "config", "config_hash",
             "prompts_hash", "seconds", "answers": [{"doc_id", "doc_hash", "prompt",
             "prompt_hash", "target", "output", "extracted", "choices", "stopped", "stray",
             "score", "correct"}], "left_out": [{"doc_id", "text"}]}
            {"kind": "result", "model", "suite", "scores": {task: value},
             "errors": {task: text}, "groups": {name of lm-eval's: its joint score},
             "skipped": [...], "seconds"}

    Raises:
        SuiteError: a limit below 1 or a task that the suite does not have.
        EvaluationFailure: a model that cannot be scored at all.
        MemoryError, torch.OutOfMemoryError: memory ran out; more ``halvings`` may help.
    """
    started = time.perf_counter()
    names = _chosen(suite, tasks)
    yield from _obtain(suite, [name for name in names if name not in skip])
    configs = task_configs(suite, limit, str(model.dtype).removeprefix("torch."), part)
    scores: dict[str, float] = {}
    errors: dict[str, str] = {}
    scored: dict[str, dict[str, Any]] = {}
    yield {"kind": "stage", "stage": "Preparing tasks"}
    from evaluation.session import Session  # imports lm-eval and torch

    with _threads_for(model):
        kept = None if journal is None else lambda name: journal.of(config_hash(configs[name]))
        session = Session(model, tokenizer, suite, limit, part, prepared, kept, halvings)
        for event in session.run([name for name in names if name not in skip]):
            if event["kind"] == "score":
                config = configs[event["task"]]
                source = event.pop("data", "")  # told, not compared by
                full = config | {"data": source} if source else config
                event |= {"config": full, "config_hash": config_hash(config)}
                scored[event["task"]] = {"n": event["n"], "metrics": event["metrics"]}
                event["task_version"] = config["task_version"]
                scores[event["task"]] = event["value"]
            elif event["kind"] == "task_error":
                errors[event["task"]] = event["text"]
            yield event
    yield {
        "kind": "result",
        "model": model_label,
        "suite": suite.name,
        "scores": scores,
        "errors": errors,
        "groups": group_totals(suite.group_scores, scored),
        "skipped": [name for name in names if name in skip],
        "seconds": time.perf_counter() - started,
    }


def _obtain(suite: Suite, names: Sequence[str]) -> Iterator[Event]:
    """Download the published files that are not here: what they hold is in the configuration."""
    files = suite.task_files()
    absent = [files[name] for name in names if name in files and files[name].published]
    for file in [file for file in absent if not is_here(file.published)]:
        from evaluation.harness.tasks import obtain

        yield {"kind": "stage", "stage": f"Getting {file.published}"}
        # What cannot be had is told by the task itself.
        with suppress(EvaluationError):
            obtain(file)


def _chosen(suite: Suite, tasks: Sequence[str] | None) -> list[str]:
    """The asked-for tasks in the suite's order."""
    if tasks is None:
        return list(suite.tasks)
    for task in tasks:
        if task not in suite.tasks:
            raise SuiteError(
                f"The suite {suite.name!r} has no task {task!r}." + nearest(task, suite.tasks)
            )
    return [task for task in suite.tasks if task in set(tasks)]


@contextmanager
def _threads_for(model: PreTrainedModel) -> Iterator[None]:
    """One thread for small models on a CPU, torch's own choice for the rest."""
    import torch

    before = torch.get_num_threads()
    parameters = sum(p.numel() for p in model.parameters())
    if model.device.type == "cpu" and parameters < _ONE_THREAD_PARAMETERS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
