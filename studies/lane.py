"""A list of points, merged and scored one after the other in one process.

A generator of events. The suite's tasks, prompts and tokens are made once, one model is in memory,
and every point is merged into it. A point that cannot be made or scored is told and the next one
comes; what is scored is told at once.
"""

from __future__ import annotations

import gc
import hashlib
import json
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.errors import is_out_of_memory
from merging.errors import MergingError, ModelError
from studies.combined import but_scale
from studies.points import PREVIOUS

if TYPE_CHECKING:
    from evaluation.prepared import Prepared
    from evaluation.suites import Suite
    from merging.recipes.recipe import Recipe
    from studies.in_place import Bench

Event = dict[str, Any]

LAND_SECONDS = 5.0  # scores of a point under way are handed over at least this often
TELL_SECONDS = 1.0  # between two reports of progress; each is a write to the database
MOST_CHARACTERS = 300  # of what a model answered to an item
STATES = {"right": "r", "wrong": "w", "missing": "m", "truncated": "t", None: "-"}


@dataclass(frozen=True)
class LanePoint:
    """A point as a lane takes it.

    Attributes:
        key: of the point.
        label: in words.
        steps: recipes, one upon the other (`studies.points.Point.steps`).
        tasks: those that are still to be scored; None for all.
        problem: why it cannot be made, where that is known already.
    """

    key: str
    label: str
    steps: tuple[Recipe, ...]
    tasks: tuple[str, ...] | None = None
    problem: str | None = None


class Lane:
    """One process's share of a stage.

    Args:
        points: in an order in which those that share a combined task vector follow each other.
        folders: reference -> folder of the parents.
        suite: that every point is scored on.
        limit: items per task, None for all.
        device: "auto", "cpu" or "cuda".
        dtype: that scores are taken in.
        most_bytes: memory for combined task vectors.
        threads: tensors that are merged at the same time on the CPU.
        halvings: how often less than usual is to be in memory at a time, because it ran out.
        last_try: a point that memory runs out for is told as failed; otherwise the error is raised,
            for whoever runs the lane to come again with more `halvings`.
    """

    def __init__(
        self,
        points: Sequence[LanePoint],
        folders: Mapping[str, Path],
        suite: Suite,
        *,
        limit: int | None = None,
        device: str = "auto",
        dtype: str | None = None,
        most_bytes: int = 0,
        threads: int = 1,
        halvings: int = 0,
        last_try: bool = True,
    ) -> None:
        from studies.in_place import Bench

        self.points = list(points)
        self.suite = suite
        self.limit = limit
        self.halvings = halvings
        self.last_try = last_try
        self.bench: Bench = Bench(
            folders, device=device, dtype=dtype, most_bytes=most_bytes, threads=threads
        )
        self._prepared: Prepared | None = None
        self._listed: set[str] = set()  # lists of items that have been told
        self._told = 0.0
        self._cpu: dict[str, float] = {}

    def run(self) -> Iterator[Event]:
        """Merge and score every point.

        Yields:
            stage, progress and log events, and::

                {"kind": "point_begun", "key"}
                {"kind": "point_scores", "key", "scores": [...], "lists": {hash: [[doc_id, hash]]}}
                {"kind": "point", "key", "recipes": [yaml], "recipe_hash", "reused",
                 "seconds_merge", "seconds_score", "text": what of it could not be scored}
                {"kind": "point_error", "key", "text"}
                {"kind": "result", "n_points", "n_failed", "seconds_merge", "seconds_score",
                 "cpu_merge", "cpu_score", "cpu_total"}  # CPU seconds; the last of the process
        """
        failed = 0
        seconds = {"seconds_merge": 0.0, "seconds_score": 0.0}
        self._cpu = dict.fromkeys(("cpu_merge", "cpu_score"), 0.0)
        yield {"kind": "stage", "stage": "Points"}
        for place, point in enumerate(self.points):
            yield self._progress(place, 0.0, point)
            yield {"kind": "point_begun", "key": point.key}
            for event in self._point(place, point):
                yield event
                failed += event["kind"] == "point_error"
                if event["kind"] == "point":
                    seconds = {name: seconds[name] + event[name] for name in seconds}
        yield {"kind": "progress", "stage": "Points", "done": len(self.points),
               "total": len(self.points), "unit": "points"}  # fmt: skip
        cpu = {"cpu_total": time.process_time(), **self._cpu}
        told = {"n_points": len(self.points), "n_failed": failed}
        yield {"kind": "result", **told, **seconds, **cpu}

    def _point(self, place: int, point: LanePoint) -> Iterator[Event]:
        """One point; whatever goes wrong with it stays with it."""
        try:
            if point.problem is not None:
                raise ModelError(point.problem)
            began, cpu = time.perf_counter(), time.process_time()
            recipes = yield from self._merge(place, point)
            merged, cpu_merged = time.perf_counter(), time.process_time()
            self._cpu["cpu_merge"] += cpu_merged - cpu
            text = yield from self._score(place, point)
            self._cpu["cpu_score"] += time.process_time() - cpu_merged
        except Exception as error:
            if is_out_of_memory(error) and not self.last_try:
                raise
            known = isinstance(error, MergingError) or hasattr(error, "exit_code")
            if not known:
                yield {"kind": "log", "text": traceback.format_exc()}
                # Memory that ran out, or a defect: nothing of it may be left to the next point.
                self._start_over()
            yield {"kind": "point_error", "key": point.key, "text": in_a_sentence(error)}
            return
        yield {
            "kind": "point",
            "key": point.key,
            "recipes": [recipe.to_yaml() for recipe in recipes],
            "recipe_hash": recipes[-1].hash,
            "reused": self.bench.reused,
            "seconds_merge": merged - began,
            "seconds_score": time.perf_counter() - merged,
            "text": text,
        }

    def _merge(self, place: int, point: LanePoint) -> Any:
        merging = self.bench.merge(point.steps, more=self._wanted_again(place))
        while True:
            try:
                event = next(merging)
            except StopIteration as stop:
                return stop.value
            if event["kind"] == "warning":
                yield {"kind": "log", "text": f"{point.label}: {event['text']}"}
            elif event["kind"] == "progress" and self._due():
                yield self._progress(place, 0.0, point)

    def _wanted_again(self, place: int) -> bool:
        """Whether the next point's first merge is this one's but for the scale."""
        if place + 1 >= len(self.points):
            return False
        one, other = self.points[place].steps, self.points[place + 1].steps
        if not (one and other) or PREVIOUS in one[0].references:
            return False
        return but_scale(one[0]) == but_scale(other[0])

    def _score(self, place: int, point: LanePoint) -> Any:
        """Score the model as it is now; returns what could not be scored, as a sentence."""
        from evaluation.errors import EvaluationFailure
        from evaluation.run import evaluate

        scores: list[Event] = []
        errors: dict[str, str] = {}
        landed, n_scored = time.monotonic(), 0
        fresh = self._prepared is None or self._prepared.tokenizer is not self.bench.tokenizer
        if fresh:
            self._prepare()
        for event in evaluate(
            self.bench.model,
            self.bench.tokenizer,
            self.suite,
            tasks=point.tasks,
            limit=self.limit,
            model_label=point.label,
            prepared=self._prepared,
            halvings=self.halvings,
        ):
            if event["kind"] == "score":
                scores.append(event)
                n_scored += 1
                if time.monotonic() - landed > LAND_SECONDS:
                    yield self._land(point, scores)
                    scores, landed = [], time.monotonic()
            elif event["kind"] == "task_error":
                errors[event["task"]] = event["text"]
            elif event["kind"] in ("warning", "log"):
                yield {"kind": "log", "text": f"{point.label}: {event['text']}"}
            elif event["kind"] == "progress" and self._due():
                yield self._progress(place, event["done"] / max(1, event["total"]), point)
        if scores:
            yield self._land(point, scores)
        if errors and not n_scored:
            raise EvaluationFailure(f"No task could be scored. {next(iter(errors.values()))}")
        if fresh:
            # What is kept for all points need not be looked through for garbage at each of them.
            gc.collect()
            gc.freeze()
        return _left(errors)

    def _prepare(self) -> None:
        from evaluation.prepared import Prepared

        gc.unfreeze()
        self._prepared = Prepared(self.bench.tokenizer)

    def _land(self, point: LanePoint, scores: Sequence[Event]) -> Event:
        """Scores of a point for the record; which items were asked is told once."""
        lists = {}
        compacted = []
        for one in scores:
            asked = [[int(answer["doc_id"]), answer["doc_hash"]] for answer in one["answers"]]
            name = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
            if name not in self._listed:
                self._listed.add(name)
                lists[name] = asked
            compacted.append({**compact(one), "asked": name})
        return {"kind": "point_scores", "key": point.key, "scores": compacted, "lists": lists}

    def _start_over(self) -> None:
        """A new model and a new scorer for the next point."""
        self._prepared = None
        gc.unfreeze()
        self.bench.forget()
        gc.collect()
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _due(self) -> bool:
        now = time.monotonic()
        if now - self._told < TELL_SECONDS:
            return False
        self._told = now
        return True

    def _progress(self, place: int, share: float, point: LanePoint) -> Event:
        return {
            "kind": "progress",
            "stage": f"Points: {point.label}",
            "done": place + share,
            "total": len(self.points),
            "unit": "points",
        }


def compact(score: Mapping[str, Any]) -> dict[str, Any]:
    """A score with what a study keeps of its answers: each item's score, and what was answered."""
    answers = score["answers"]
    names = ("task", "domain", "metric", "value", "stderr", "n", "higher_is_better", "missing",
             "truncated", "config_hash", "prompts_hash", "seconds")  # fmt: skip
    return {
        **{name: score[name] for name in names},
        "items": [float(answer["score"]) for answer in answers],
        "extracted": [_short(answer["extracted"]) for answer in answers],
        "states": "".join(STATES[answer["state"]] for answer in answers),
    }


def in_a_sentence(error: Exception) -> str:
    """Why a point failed."""
    if hasattr(error, "exit_code"):
        return str(error)
    text = " ".join(str(error).split())
    if is_out_of_memory(error):
        return "There was not enough memory for this point. Close other programs and resume."
    said = text[:300] or "no message"
    return f"Unexpected {type(error).__name__}: {said}. The log has the details."


def _left(errors: Mapping[str, str]) -> str | None:
    if not errors:
        return None
    n = len(errors)
    first = next(iter(errors.values()))
    return first if n == 1 else f"{n} tasks could not be scored. {first}"


def _short(text: str | None) -> str | None:
    return (
        text if text is None or len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
    )
