"""One process's trials of a search: ask, merge in memory, score, tell; again and again.

A generator of events. What merges is given from outside (`Merger`), and so are the trials, which
other processes may ask of, too. A trial that cannot be made or scored is told and the next comes.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from merging.errors import MergingError
from search.errors import SearchFailure
from search.objectives import value_of
from search.replies import Replies
from search.samplers import rungs
from search.trials import Asked, Trials

if TYPE_CHECKING:
    from evaluation.holdout import Part
    from evaluation.prepared import Prepared
    from evaluation.suites import Suite
    from merging.recipes.recipe import Recipe
    from search.size import Distance

Event = dict[str, Any]

TELL_SECONDS = 1.0  # between two reports of progress; each is a write to the database
MOST_FAILED = 5  # failed trials in a row, after which something else is wrong


class Merger(Protocol):
    """What makes one model in memory be one merge after another; see `studies.in_place.Bench`."""

    model: Any
    tokenizer: Any

    def merge(
        self, steps: Sequence[Recipe], *, more: bool = False
    ) -> Generator[Event, None, list[Recipe]]:
        """Make the model the merge of these recipes."""

    def forget(self) -> None:
        """Let go of the model, as after something went wrong."""


@dataclass
class _Scored:
    """A trial's scores so far."""

    tasks: dict[str, float] = field(default_factory=dict)
    items: int = 0
    most_items: int = 0
    errors: list[str] = field(default_factory=list)


class SearchLane:
    """One process's share of a search.

    Args:
        trials: of the search.
        merger: makes the merges.
        prints: reference -> fingerprint of every parent.
        suite: that trials are scored on.
        part: of its items that is for choosing.
        objectives: for each the tasks that it is a mean over; none for the change.
        distance: measures the change, where it is an objective.
    """

    def __init__(
        self,
        trials: Trials,
        merger: Merger,
        prints: Mapping[str, str],
        suite: Suite,
        part: Part,
        objectives: Sequence[Sequence[str]],
        distance: Distance | None = None,
    ) -> None:
        self.trials = trials
        self.design = trials.design
        self.merger = merger
        self.prints = dict(prints)
        self.suite = suite
        self.part = part
        self.objectives = objectives
        self.distance = distance
        self.tasks = list(dict.fromkeys(task for some in objectives for task in some))
        self._prepared: dict[int | None, Prepared] = {}
        self._told = 0.0

    def run(self) -> Iterator[Event]:
        """Work until there are enough trials.

        Yields:
            stage, progress and log events; a `result` with `n_trials`, `n_failed`, `n_reused`,
            `n_pruned`, `seconds_merge` and `seconds_score` of this process.

        Raises:
            SearchFailure: too many trials in a row failed.
        """
        found = dict(n_trials=0, n_failed=0, n_reused=0, n_pruned=0)
        seconds = dict(seconds_merge=0.0, seconds_score=0.0)
        failed_in_a_row = 0
        yield {"kind": "stage", "stage": "Trials"}
        while (asked := self.trials.ask()) is not None:
            yield self._progress(asked)
            told: dict[str, Any] = {}
            for event in self._trial(asked):
                if event["kind"] == "told":
                    told = event
                else:
                    yield event
            found["n_trials"] += 1
            for name in ("failed", "reused", "pruned"):
                found[f"n_{name}"] += told.get("state") == name
            for name in seconds:
                seconds[name] += told.get(name, 0.0)
            failed_in_a_row = failed_in_a_row + 1 if told.get("state") == "failed" else 0
            if failed_in_a_row >= MOST_FAILED:
                raise SearchFailure(
                    f"{MOST_FAILED} trials in a row failed, so the search stopped: {told['text']}"
                )
        yield {"kind": "result", **found, **seconds}

    def _trial(self, asked: Asked) -> Iterator[Event]:
        """One trial, to its end; whatever goes wrong with it stays with it."""
        began = time.perf_counter()
        try:
            recipe = asked.recipe.pinned(self.prints)
            same = self.trials.same(recipe.hash)
            if same is not None:
                facts = {**same.user_attrs, "lane": self.trials.lane, "reused": same.number,
                         "seconds_merge": 0.0, "seconds_score": 0.0}  # fmt: skip
                for name in ("origin", "scale", "deaths"):
                    facts.pop(name, None)
                self.trials.done(asked, list(same.values), facts)
                yield {"kind": "told", "state": "reused"}
                return
            yield from self._merge(asked, recipe)
            merged = time.perf_counter()
            told = yield from self._score(asked, recipe, began, merged)
        except Exception as error:
            known = isinstance(error, MergingError) or hasattr(error, "exit_code")
            if not known:
                yield {"kind": "log", "text": traceback.format_exc()}
                self._prepared = {}
                self.merger.forget()
            text = in_a_sentence(error)
            self.trials.failed(asked, text)
            yield {"kind": "log", "text": f"{asked.label}: {text}"}
            yield {"kind": "told", "state": "failed", "text": text}
            return
        yield told

    def _merge(self, asked: Asked, recipe: Recipe) -> Iterator[Event]:
        for event in self.merger.merge([recipe]):
            if event["kind"] == "warning":
                yield {"kind": "log", "text": f"{asked.label}: {event['text']}"}
            elif event["kind"] == "progress" and self._due():
                yield self._progress(asked)

    def _score(
        self, asked: Asked, recipe: Recipe, began: float, merged: float
    ) -> Generator[Event, None, Event]:
        """Score the model as it is now, the first items first where trials are pruned."""
        replies = Replies() if self.design.prune else None
        change = None
        if self.distance is not None:
            change = self.distance.of(dict(self.merger.model.state_dict()))
        facts: dict[str, Any] = {"recipe": recipe.hash, "change": change}
        limits = rungs(self.design.prune, self.design.limit) if self.design.prune else iter(())
        scored = None
        for limit in limits:
            scored = yield from self._scores(asked, limit, replies)
            if scored.most_items < limit:
                break  # these were all there are
            value = self._values(scored, change)[0]
            if self.trials.report(asked, value, limit):
                facts |= self._facts(scored, began, merged)
                self.trials.pruned(asked, facts)
                return {"kind": "told", "state": "pruned", **_seconds(facts)}
            scored = None
        if scored is None:
            scored = yield from self._scores(asked, self.design.limit, replies)
        values = self._values(scored, change)
        facts |= self._facts(scored, began, merged)
        self.trials.done(asked, values, facts)
        return {"kind": "told", "state": "done", **_seconds(facts)}

    def _facts(self, scored: _Scored, began: float, merged: float) -> dict[str, Any]:
        return {"tasks": scored.tasks, "items": scored.items, "seconds_merge": merged - began,
                "seconds_score": time.perf_counter() - merged}  # fmt: skip

    def _values(self, scored: _Scored, change: float | None) -> list[float]:
        """A value for each objective.

        Raises:
            SearchFailure: a task that one of them needs could not be scored.
        """
        found = [value_of(tasks, scored.tasks, change) for tasks in self.objectives]
        if any(one is None for one in found):
            text = scored.errors[0] if scored.errors else "A task has no score."
            raise SearchFailure(text)
        return [float(one) for one in found if one is not None]

    def _scores(
        self, asked: Asked, limit: int | None, replies: Replies | None
    ) -> Generator[Event, None, _Scored]:
        """The tasks' scores over the first items of the search part."""
        from evaluation.prepared import Prepared
        from evaluation.run import evaluate

        ready = self._prepared.get(limit)
        if ready is None or ready.tokenizer is not self.merger.tokenizer:
            same = (one for one in self._prepared.values()
                    if one.tokenizer is self.merger.tokenizer)  # fmt: skip
            ready = self._prepared[limit] = Prepared(self.merger.tokenizer, next(same, None))
        found = _Scored()
        journal: Any = replies
        for event in evaluate(
            self.merger.model,
            self.merger.tokenizer,
            self.suite,
            tasks=self.tasks,
            limit=limit,
            part=self.part,
            model_label=asked.label,
            prepared=ready,
            journal=journal,
        ):
            if event["kind"] == "score" and not event["higher_is_better"]:
                found.errors.append(
                    f"Of {event['task']} less is better, so it is in no mean score: name the "
                    "tasks of the objective without it."
                )
            elif event["kind"] == "score":
                found.tasks[event["task"]] = float(event["value"])
                found.items += event["n"]
                found.most_items = max(found.most_items, event["n"])
            elif event["kind"] == "task_error":
                found.errors.append(event["text"])
            elif event["kind"] in ("warning", "log"):
                yield {"kind": "log", "text": f"{asked.label}: {event['text']}"}
            elif event["kind"] == "progress" and self._due():
                yield self._progress(asked, event["done"] / max(1, event["total"]))
        return found

    def _due(self) -> bool:
        now = time.monotonic()
        if now - self._told < TELL_SECONDS:
            return False
        self._told = now
        return True

    def _progress(self, asked: Asked, share: float = 0.0) -> Event:
        done = self.trials.count()["done"]
        total = max(self.trials.target_in_all(), done + 1)
        return {"kind": "progress", "stage": f"Trials: {asked.label}", "done": done + share,
                "total": total, "unit": "trials"}  # fmt: skip


def in_a_sentence(error: Exception) -> str:
    """Why a trial failed."""
    if hasattr(error, "exit_code"):
        return str(error)
    name, text = type(error).__name__, " ".join(str(error).split())
    if name in ("OutOfMemoryError", "MemoryError") or "can't allocate memory" in text:
        return "There was not enough memory for this merge. Close other programs and resume."
    return f"Unexpected {name}: {text[:300] or 'no message'}. The log has the details."


def _seconds(facts: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(facts[name]) for name in ("seconds_merge", "seconds_score")}
