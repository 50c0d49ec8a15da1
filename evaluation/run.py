"""Evaluate one loaded model on a suite: a generator of events.

``evaluate`` is the whole story; ``task_configs`` and ``config_hash`` say, before any model is
loaded, under which configuration each task would be scored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from evaluation.configs import config_hash, task_configs
from evaluation.loading import load_model, scoring_dtype
from evaluation.suites import Suite

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["config_hash", "evaluate", "load_model", "scoring_dtype", "task_configs"]

Event = dict[str, Any]


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    suite: Suite,
    *,
    tasks: Sequence[str] | None = None,
    limit: int | None = None,
    model_label: str = "",
    skip: Collection[str] = frozenset(),
) -> Iterator[Event]:
    """Score a model on the tasks of a suite.

    Args:
        model: a transformers causal language model in memory, in eval mode or not.
        tokenizer: its tokenizer.
        suite: from ``load_suite``.
        tasks: only these tasks of the suite.
        limit: only the first so many items of each task.
        model_label: how warnings call the model.
        skip: tasks not to score (already scored under the same configuration).

    Yields:
        stage, progress, warning, score, task_error and, last, result events.

    Raises:
        SuiteError: a limit below 1 or a task that the suite does not have.
    """
    raise NotImplementedError
