"""A suite got ready once for many models: its tasks, their prompts and the prompts' tokens.

A study scores a hundred merges on the same questions, one after the other, in one process. What
depends on the suite and the tokenizer alone is made for the first and used again for the others;
all that depends on a model's weights (caches of contexts, checks of the scorer against itself) is
made anew for every model, by a scorer of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from copy import copy, deepcopy
from typing import Any

from evaluation import held_out_items
from evaluation.harness.items import Item, LeftOut, build_items
from evaluation.harness.task_files import TaskFile
from evaluation.harness.tasks import load_task
from evaluation.holdout import Part
from evaluation.scoring.encoding import KeptEncoder
from evaluation.scoring.scorer import Scorer
from evaluation.suites import Settings, Suite


class Prepared:
    """What evaluations of one suite have in common, where tokenizer, limit and part are the same.

    Give the same object to `evaluation.run.evaluate` for one model after another. It fills itself
    on the way, so that a task that nobody asks for is never loaded.

    Args:
        tokenizer: of all the models; another one needs an object of its own, for its chat template
            makes the prompts and its vocabulary the tokens.
        like: of another limit, for the same tokenizer and suite: tasks, tokens and the split of
            the items are the same, and used again.
    """

    def __init__(self, tokenizer: Any, like: Prepared | None = None) -> None:
        self.tokenizer = tokenizer
        self._tasks: dict[str, Any] = {} if like is None else like._tasks
        self._items: dict[str, list[tuple[list[Item], list[LeftOut]]]] = {}
        self._encoders: dict[bool | None, KeptEncoder] = {} if like is None else like._encoders
        self._kept: dict[tuple[Part, tuple[str, ...]], dict[str, list[int]]] = (
            {} if like is None else like._kept
        )

    def load_task(self, suite: Suite, name: str, files: dict[str, TaskFile]) -> Any:
        """A task of the suite; see `evaluation.harness.tasks.load_task`."""
        if name not in self._tasks:
            self._tasks[name] = load_task(suite, name, files)
        return self._tasks[name]

    def kept(
        self, suite: Suite, loaded: Mapping[str, Any], files: Mapping[str, TaskFile], part: Part
    ) -> dict[str, list[int]]:
        """The documents of a part; see `evaluation.held_out_items.kept`."""
        asked = part, tuple(loaded)
        if asked not in self._kept:
            self._kept[asked] = held_out_items.kept(suite, loaded, files, part)
        return self._kept[asked]

    def build_items(
        self,
        task: Any,
        scorer: Scorer,
        settings: Settings,
        limit: int | None,
        keep: Collection[int] | None = None,
    ) -> Iterator[tuple[list[Item], list[LeftOut]]]:
        """The items of a task, without replies; see `evaluation.harness.items.build_items`."""
        name = str(task.config.task)
        if name not in self._items:
            self._items[name] = list(build_items(task, scorer, settings, limit, keep))
        # A task's own grading may change the document that it is given.
        own_code = callable(getattr(task.config, "process_results", None))
        for items, left_out in self._items[name]:
            yield [_blank(item, own_code) for item in items], list(left_out)

    def encoder(self, add_bos_token: bool | None) -> KeptEncoder:
        """The tokenizer with the rules for special tokens, which keeps what it has encoded."""
        if add_bos_token not in self._encoders:
            self._encoders[add_bos_token] = KeptEncoder(self.tokenizer, add_bos_token)
        return self._encoders[add_bos_token]


def _blank(item: Item, own_code: bool) -> Item:
    """The item as it was before any model was asked."""
    doc = deepcopy(item.doc) if own_code else item.doc
    requests = []
    for asked in item.requests:
        request = copy(asked)
        request.doc, request.resps, request.filtered_resps = doc, [], {}
        requests.append(request)
    return Item(item.doc_id, doc, requests)
