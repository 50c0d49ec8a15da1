"""Few-shot examples that come from the very items that are asked.

Many tasks have no split of examples: the harness takes them from the split that it asks. Then a
question must not be its own example, which the harness sees to only where the task names its splits
in one way; and where a part of a split is asked (``evaluation.holdout``), an example of the other
part would carry held-out items into the search, or the other way round. Tasks with a split of
examples of their own are left as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from inspect import signature
from random import Random
from typing import Any

from evaluation.errors import TaskError
from evaluation.harness.splits import from_questions
from evaluation.holdout import source


class Examples:
    """Stands in for a task's sampler: the same examples, but never the question itself.

    Args:
        sampler: the harness's, drawing from ``pool``.
        pool: what may be an example.
    """

    def __init__(self, sampler: Any, pool: Sequence[Any]) -> None:
        self._sampler = sampler
        self._pool = list(pool)
        self._asked: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sampler, name)

    def about(self, doc: Any) -> None:
        """Say which document is asked next."""
        self._asked = doc

    def sample(self, n: int, eval_doc: Any = None, **more: Any) -> list[Any]:
        """As the harness draws; where the question was drawn another example takes its place."""
        drawn = list(self._sampler.sample(n, eval_doc=eval_doc, **more))
        kept = [doc for doc in drawn if doc != self._asked]
        if len(kept) == len(drawn):
            return drawn
        rest = [doc for doc in self._pool if doc != self._asked and doc not in kept]
        if type(self._sampler).__name__ != "FirstNSampler":
            # Of the question's own making: the harness's draws for later questions stay the same.
            digest = hashlib.sha256(source(self._asked).content.encode()).digest()
            Random(int.from_bytes(digest[:8], "big")).shuffle(rest)
        return [*kept, *rest[: len(drawn) - len(kept)]]


class _Untouched:
    def about(self, doc: Any) -> None:
        """Nothing depends on it."""


def own_examples(task: Any, keep: Collection[int] | None) -> Examples | _Untouched:
    """Make a task's examples keep to the items that are asked, where they are from among them.

    Args:
        task: of the harness, loaded; its sampler is exchanged.
        keep: numbers of the documents in the part that is asked, None for all.

    Raises:
        TaskError: the part has too few items for so many examples, or the task can't have any.
    """
    shots = int(task.config.num_fewshot or 0)
    sampler = getattr(task, "sampler", None)
    if not shots or sampler is None:
        return _Untouched()
    _require_examples(task)
    pool = list(sampler.df)
    if not (from_questions(task.config) or _are_questions(task, pool)):
        return _Untouched()
    if keep is not None:
        pool = _kept(task, pool, keep)
        sampler.replace_df(pool)
    if len(pool) < shots + 1:
        where = "" if keep is None else "this part of "
        raise TaskError(
            f"it takes its {shots} examples from its own items, and {where}it has only {len(pool)}"
        )
    task.sampler = Examples(sampler, pool)
    return task.sampler


def _require_examples(task: Any) -> None:
    """Refuse examples of a Python class that words only questions; the harness words both alike."""
    for name in ("doc_to_text", "doc_to_target"):
        try:
            signature(getattr(task, name)).bind({}, None)
        except TypeError as error:
            raise TaskError(
                f"it is a Python class whose {name} cannot word an example, so it is asked with "
                "num_fewshot=0 only"
            ) from error


def _are_questions(task: Any, pool: Sequence[Any]) -> bool:
    """Whether the examples are the questions, of a task whose splits are a Python class's."""
    if task.config.test_split or task.config.validation_split:
        return False
    questions = task.eval_docs
    ends = (0, -1) if len(questions) == len(pool) and pool else ()
    return bool(ends) and all(questions[end % len(pool)] == pool[end] for end in ends)


def _kept(task: Any, pool: Sequence[Any], keep: Collection[int]) -> list[Any]:
    """Those of the pool that are in the part: by number, by content where they were changed."""
    questions = task.eval_docs
    wanted = set(keep)
    if len(pool) == len(questions):
        return [doc for number, doc in enumerate(pool) if number in wanted]
    inside = {source(doc).content for number, doc in enumerate(questions) if number in wanted}
    return [doc for doc in pool if source(doc).content in inside]
