"""One model through the tasks of a suite, task by task and batch by batch."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from evaluation import held_out_items
from evaluation.answers import score_task
from evaluation.errors import EvaluationError, TaskError, is_out_of_memory
from evaluation.extraction.reply import Reply
from evaluation.harness.items import Item, LeftOut, build_items, told
from evaluation.harness.tasks import count_items, load_task, quiet_harness
from evaluation.holdout import Part
from evaluation.journal import TaskJournal
from evaluation.prepared import Prepared
from evaluation.published.origin import origin
from evaluation.scoring.scorer import Scorer
from evaluation.scoring.thinking import opened_by, strip
from evaluation.suites import Suite

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Event = dict[str, Any]


class Session:
    """Scores one model on tasks of one suite.

    Args:
        model: in memory.
        tokenizer: its tokenizer.
        suite: where the tasks and their settings come from.
        limit: items per task, None for all.
        part: of a split of the items, None for all of them.
        prepared: what was made for models of this tokenizer before; None to make it.
        journal: gives each task's kept replies by its name; None to keep none.
        halvings: how often less than usual is to be in memory at a time, because it ran out.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        suite: Suite,
        limit: int | None,
        part: Part | None = None,
        prepared: Prepared | None = None,
        journal: Callable[[str], TaskJournal] | None = None,
        halvings: int = 0,
    ) -> None:
        self.halvings = halvings
        self.journal = journal
        self.prepared = prepared
        self.model = model
        self.tokenizer = tokenizer
        self.suite = suite
        self.limit = limit
        self.part = part
        self._kept: dict[str, list[int]] | None = None
        self.done = 0
        self.total = 0
        self._warnings: list[str] = []
        self._scorers: dict[tuple[bool | None, str | None, bool], Scorer] = {}

    def run(self, names: Sequence[str]) -> Iterator[Event]:
        """Score the named tasks in order; see ``evaluation.run.evaluate`` for the events."""
        loaded: dict[str, Any] = {}
        files = dict(self.suite.task_files())
        for name in names:
            try:
                with quiet_harness():
                    load = self.prepared.load_task if self.prepared else load_task
                    loaded[name] = load(self.suite, name, files)
            except EvaluationError as error:
                yield self._error(name, error)
        if self.part is not None:
            with quiet_harness():
                kept = self.prepared.kept if self.prepared else held_out_items.kept
                self._kept = kept(self.suite, loaded, files, self.part)
        counts = {name: self._count(name, task) for name, task in loaded.items()}
        self.total = sum(counts.values())
        finished = 0
        for name in list(loaded):
            yield {"kind": "stage", "stage": f"Scoring {name}"}
            try:
                yield from self._task(name, loaded.pop(name))
            except EvaluationError as error:
                yield self._error(name, error)
            except Exception as error:  # one task's surprise must not cost the others
                if is_out_of_memory(error):
                    raise  # but memory that ran out would: a smaller batch may fit
                yield {"kind": "log", "text": traceback.format_exc()}
                yield self._error(name, error)
            finished += counts[name]
            self.done = finished

    def _task(self, name: str, task: Any) -> Iterator[Event]:
        started = time.perf_counter()
        settings = self.suite.settings_for(name)
        scorer = self._scorer(name)
        items: list[Item] = []
        left_out: list[LeftOut] = []
        with quiet_harness():
            keep = None if self._kept is None else self._kept[name]
            build = self.prepared.build_items if self.prepared else build_items
            for part, bad in build(task, scorer, settings, self.limit, keep):
                items += part
                left_out += bad
                yield self._progress(name, 0)
        if left_out:
            yield self._left_out(name, left_out, len(items) + len(left_out), "asked")
        if not items:
            where = f" in the {self.part.name} part of the split" if self.part else ""
            raise TaskError(f"it has no items{where}")
        journal = self.journal(name) if self.journal else None
        yield from self._ask(name, scorer, items, journal)
        yield from self._drain(name)
        with quiet_harness():
            scored = score_task(task, items)
        ungraded = scored.pop("left_out")
        if ungraded:
            yield self._left_out(name, ungraded, len(items), "graded")
        left_out = sorted([*left_out, *ungraded], key=lambda one: one.doc_id)
        yield from self._unanswered(name, scored["metrics"], scored["n"])
        yield {
            "kind": "score",
            "task": name,
            "domain": self.suite.domain(name),
            **scored,
            "left_out": [{"doc_id": one.doc_id, "text": one.text} for one in left_out],
            "data": origin(task),
            "journal": str(journal.path) if journal else None,
            "seconds": time.perf_counter() - started,
        }

    def _left_out(self, name: str, bad: list[LeftOut], asked: int, verb: str) -> Event:
        """A warning about some items; nothing can be scored where it is about all of them.

        Raises:
            TaskError: they are all there are.
        """
        if len(bad) == asked:
            raise TaskError(told(bad, asked, verb))
        return {"kind": "warning", "text": f"{name}: {told(bad, asked, verb)}.", "task": name}

    def _count(self, name: str, task: Any) -> int:
        if self._kept is None:
            return count_items(task, self.limit)
        n = len(self._kept[name])
        return n if self.limit is None else min(n, self.limit)

    def _scorer(self, name: str) -> Scorer:
        settings = self.suite.settings_for(name)
        key = settings.add_bos_token, settings.chat_template, settings.strips_thinking
        if key not in self._scorers:
            fallback = None
            if settings.chat_template:
                path = self.suite.resolve(settings.chat_template)
                if not path.is_file():
                    raise TaskError(f"the suite's chat template {path} does not exist")
                fallback = path.read_text(encoding="utf-8")
            self._scorers[key] = Scorer(
                self.model,
                self.tokenizer,
                add_bos_token=settings.add_bos_token,
                chat_template=fallback,
                warn=self._warnings.append,
                thinking=settings.strips_thinking,
                halvings=self.halvings,
                encoder=self.prepared.encoder(settings.add_bos_token) if self.prepared else None,
            )
        return self._scorers[key]

    def _ask(
        self, name: str, scorer: Scorer, items: Sequence[Item], journal: TaskJournal | None
    ) -> Iterator[Event]:
        """Fill in every request's reply: from an earlier run's where there is one."""
        by_type: dict[str, list[tuple[int, Any]]] = {}
        left = [0] * len(items)
        for position, item in enumerate(items):
            for request in item.requests:
                for _ in range(request.repeats or 1):
                    by_type.setdefault(request.request_type, []).append((position, request))
                    left[position] += 1
        strips = self.suite.settings_for(name).strips_thinking
        if journal is not None:
            by_type = {
                kind: [one for one in asked if not _found(journal, kind, one, left, strips)]
                for kind, asked in by_type.items()
            }
        complete = left.count(0)
        if complete:
            yield {"kind": "log", "text": f"{name}: {complete:,} items were answered before."}
            yield self._progress(name, complete)
        for kind, asked in [(kind, asked) for kind, asked in by_type.items() if asked]:
            stream = getattr(scorer, f"stream_{kind}")
            for answers in stream([request for _, request in asked]):
                for index, answer in answers:
                    position, request = asked[index]
                    if journal is not None:
                        journal.add(kind, request, answer)
                    _keep(request, kind, answer, strips)
                    left[position] -= 1
                    complete += left[position] == 0
                if journal is not None:
                    journal.flush()
                yield from self._drain(name)
                yield self._progress(name, complete)
        if journal is not None and journal.problem:
            yield {"kind": "warning", "text": journal.problem}

    def _unanswered(self, name: str, metrics: dict[str, Any], n: int) -> Iterator[Event]:
        """What an accuracy does not tell: how many wrong answers were none at all."""
        shares = {"give no answer": "missing", "are cut off before one": "truncated"}
        counts = {
            words: round(n * metrics[key]["value"])
            for words, key in shares.items()
            if key in metrics
        }
        told = " and ".join(f"{count} {words}" for words, count in counts.items() if count)
        if told:
            yield {"kind": "warning", "text": f"{name}: of {n} replies {told}.", "task": name}

    def _drain(self, name: str) -> Iterator[Event]:
        while self._warnings:
            yield {"kind": "warning", "text": f"{name}: {self._warnings.pop(0)}", "task": name}

    def _progress(self, name: str, complete: int) -> Event:
        return {
            "kind": "progress",
            "stage": f"Scoring {name}",
            "done": self.done + complete,
            "total": self.total,
            "unit": "items",
        }

    def _error(self, name: str, error: Exception) -> Event:
        text = " ".join(str(error).split()) or type(error).__name__
        if not isinstance(error, EvaluationError):
            text = f"unexpected {type(error).__name__}: {text}"
        return {
            "kind": "task_error",
            "task": name,
            "domain": self.suite.domain(name),
            "text": f"Task {name}: {text.rstrip('.')}.",
        }


def _found(
    journal: TaskJournal, kind: str, asked: tuple[int, Any], left: list[int], strips: bool
) -> bool:
    """Whether a request has its reply from an earlier run; it is filled in then."""
    position, request = asked
    answer = journal.take(kind, request)
    if answer is not None:
        _keep(request, kind, answer, strips)
        left[position] -= 1
    return answer is not None


def _keep(request: Any, kind: str, answer: Any, strips: bool) -> None:
    if kind == "generate_until":
        request.resps.append(_reply(str(request.args[0]), answer, strips))
        request.stopped = answer.stopped
        request.stray = list(answer.stray)
    else:
        request.resps.append(answer)


def _reply(prompt: str, answer: Any, strips: bool) -> Reply:
    """What extraction is given: without thoughts; a thought without end was cut off."""
    if not strips:
        return Reply(answer.text, answer.stopped)
    text, whole = strip(answer.text, opened=opened_by(prompt))
    if not whole:
        return Reply("", "length", said=answer.text)
    return Reply(text, answer.stopped, said=answer.text)
