"""The harness looks at the first document of a task as it builds it, and stops at a bad one.

What it learns there (is the target a number, a list or a text; does the question hold the choices)
is true of any document. So it is shown the first one that can be asked, and the bad one is left out
like any other when its turn comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from evaluation.errors import TaskError
from evaluation.harness.items import faults, told

_MOST_TRIED = 1_000


class _Documents:
    """A task's documents with another one at the head; everything else is theirs."""

    def __init__(self, docs: Any, first: Any) -> None:
        self._docs = docs
        self._first = first

    def __getattr__(self, name: str) -> Any:
        return getattr(self._docs, name)

    def __getitem__(self, place: Any) -> Any:
        return self._first if place == 0 else self._docs[place]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._docs)

    def __len__(self) -> int:
        return len(self._docs)


@contextmanager
def first_item_may_be_bad() -> Iterator[None]:
    """Within it, the harness builds its configurable tasks by their first usable document."""
    from lm_eval.api.task import ConfigurableTask, Task

    own: Any = Task.eval_docs
    original = ConfigurableTask.__init__

    def build(self: Any, *arguments: Any, **named: Any) -> None:
        ConfigurableTask.eval_docs = property(lambda task: _usable_first(task, own.fget(task)))
        try:
            original(self, *arguments, **named)
        finally:
            del ConfigurableTask.eval_docs
        if isinstance(getattr(self, "task_docs", None), _Documents):
            self.task_docs = self.eval_docs

    ConfigurableTask.__init__ = build
    try:
        yield
    finally:
        ConfigurableTask.__init__ = original


def _usable_first(task: Any, docs: Any) -> Any:
    """The documents, the first of which the harness can look at; as they are where none can be.

    Raises:
        TaskError: none of them can be asked.
    """
    if not len(docs) or not hasattr(docs, "features"):
        return docs
    task.features = list(docs.features.keys())  # what reading a document needs; set again later
    task.multiple_input = 0
    for number, doc in enumerate(docs):
        if number == _MOST_TRIED:
            break
        if _usable(task, doc):
            return _Documents(docs, doc) if number else docs
    if len(docs) <= _MOST_TRIED:
        bad = faults(task, docs)
        if len(bad) == len(docs):
            raise TaskError(told(bad, len(docs)))
    return docs


def _usable(task: Any, doc: Any) -> bool:
    try:
        task.doc_to_text(doc)
        target = task.doc_to_target(doc)
        if task.config.doc_to_choice is None:
            return True
        choices = task.doc_to_choice(doc)
        if isinstance(target, int):
            choices[target]
        return len(choices) > 0 and all(isinstance(one, str) and one for one in choices)
    except Exception:  # whatever it is, it is told when the document is to be asked
        return False
