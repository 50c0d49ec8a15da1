"""What one press becomes: a merge, the scores of its result, and those of its parents."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from db.engine import transaction
from db.queries.models import ModelRow
from db.tables import Job
from evaluation.published.folder import data_folder
from jobs import devices
from jobs.errors import JobError
from jobs.models import recipes, registry
from jobs.running import queue
from jobs.scores import scored

if TYPE_CHECKING:
    from evaluation.holdout import Part
    from merging.recipes.recipe import Recipe


@dataclass(frozen=True, slots=True)
class _Suite:
    """What is asked of every model of a group."""

    ref: str
    name: str
    limit: int | None
    tasks: Sequence[str] | None
    device: str
    part: Part | None = None
    narrow: bool = False

    @property
    def title(self) -> str:
        """The suite's name, with the part of its items where it is not all of them."""
        return f"{self.name} ({self.part.name} part)" if self.part else self.name

    def spec(self, model: str, **more: Any) -> dict[str, Any]:
        """The spec of an evaluation."""
        return {
            "model": model,
            "suite": self.ref,
            "suite_name": self.name,
            "limit": self.limit,
            "tasks": list(self.tasks) if self.tasks is not None else None,
            "device": self.device,
            "part": asdict(self.part) if self.part else None,
            # The worker may have been started by somebody who keeps the files elsewhere.
            "data_dir": str(data_folder()),
            **({"narrow": True} if self.narrow else {}),
            **more,
        }


def merge_and_benchmark(
    recipe: Recipe | str,
    *,
    name: str | None = None,
    suite: str | None = None,
    limit: int | None = None,
    with_parents: bool = True,
    device: str = "auto",
    part: Part | None = None,
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
        part: only this part of the items (`evaluation.holdout.part`): scores for choosing are
            taken on the search part, scores for reporting on the held-out part.

    Raises:
        RecipeError, ModelError, SuiteError, JobError: wrong input, in one sentence.
    """
    asked = _suite(suite, limit, None, device, part) if suite is not None else None
    recipes.check_device(device)
    pinned, rows = recipes.parents_of(recipes.parse(recipe))
    group = _new_group()
    made = recipes.made_before(pinned)
    if made is not None:
        stage = f"Already merged: “{made.name}” is used again"
        _note_done(group, "merge", f"Merge {made.name}", stage, recipes.outcome(made))
        if asked is not None:
            _score(group, made, asked)
    else:
        label = recipes.free_name(name, pinned)
        recipes.check_plan(pinned, rows, label, device)
        spec = {"recipe": pinned.to_yaml(), "name": label, "device": device}
        spec |= recipes.sources_of(rows)
        merge = _queue(group, "merge", f"Merge {label}", spec)
        if asked is not None:
            _queue(group, "evaluate", f"Score {label} on {asked.title}",
                   asked.spec(label, merge_job=merge), (merge,))  # fmt: skip
    if asked is not None and with_parents:
        for row in recipes.distinct(rows):
            _score(group, row, asked)
    return group


def benchmark(
    models: Sequence[str],
    suite: str,
    *,
    limit: int | None = None,
    tasks: Sequence[str] | None = None,
    device: str = "auto",
    part: Part | None = None,
    narrow: bool = False,
) -> str:
    """Score models on a suite, a job each; return the group's name.

    Args:
        models: registered names, folders, Hub ids, or paths of recipe files (merged in memory).
        suite: name of a suite, or path of its file.
        limit: items per task; None for all.
        tasks: only these of the suite's tasks.
        device: "auto", "cpu" or "cuda".
        part: only this part of the items (`evaluation.holdout.part`).
        narrow: the models are so small that each takes a single core: on a CPU as many are scored
            side by side as there are cores.

    Raises:
        RecipeError, ModelError, SuiteError, JobError: wrong input, in one sentence.
    """
    asked = replace(_suite(suite, limit, tasks, device, part), narrow=narrow)
    if not models:
        raise JobError("Name at least one model to score.")
    group = _new_group()
    for model_id, refs in _asked_for(models).items():
        _score(group, recipes.get(model_id), asked, refs)
    return group


def _asked_for(models: Sequence[str]) -> dict[int, list[str]]:
    """Row of each model to what it was called; two names of one model make one job."""
    found: dict[int, list[str]] = {}
    for ref in dict.fromkeys(models):
        is_recipe = recipes.is_recipe(ref)
        model_id = recipes.recipe_row(ref).id if is_recipe else registry.register_model(ref)
        found.setdefault(model_id, []).append(ref)
    return found


def _score(group: str, row: ModelRow, asked: _Suite, refs: Sequence[str] = ()) -> int:
    """Queue one model's evaluation, or note that all of it is there."""
    title = f"Score {row.name} on {asked.title}"
    device = "cpu" if devices.devices() == ["cpu"] else asked.device
    if scored.is_complete(row.id, row.fingerprint, row.source, asked.ref, limit=asked.limit,
                          device=device, tasks=asked.tasks, part=asked.part):  # fmt: skip
        result = {"model": row.name, "model_id": row.id, "reused": True}
        spec = {"refs": list(refs)}
        return _note_done(group, "evaluate", title, "Already scored", result, spec)
    return _queue(group, "evaluate", title, asked.spec(row.name, refs=list(refs)))


def _queue(
    group: str, kind: str, title: str, spec: dict[str, Any], needs: Sequence[int] = ()
) -> int:
    with transaction() as opened:
        return queue.add(opened, Job(kind=kind, title=title, spec=spec, group=group), needs)


def _note_done(
    group: str,
    kind: str,
    title: str,
    stage: str,
    result: dict[str, Any],
    spec: dict[str, Any] | None = None,
) -> int:
    now = time.time()
    with transaction() as opened:
        job = Job(kind=kind, title=title, spec=spec or {}, group=group, state="done", stage=stage,
                  result=result, started=now, ended=now)  # fmt: skip
        return queue.add(opened, job)


def _suite(
    ref: str, limit: int | None, tasks: Sequence[str] | None, device: str, part: Part | None = None
) -> _Suite:
    from evaluation.configs import task_configs
    from evaluation.errors import SuiteError
    from evaluation.suites import load_suite, nearest

    recipes.check_device(device)
    suite = load_suite(ref)
    task_configs(suite, limit)  # checks the limit
    for task in tasks or ():
        if task not in suite.tasks:
            hint = nearest(task, list(suite.tasks))
            raise SuiteError(f"The suite {suite.name!r} has no task {task!r}.{hint}")
    return _Suite(suite.ref, suite.name, limit, tasks, device, part)


def _new_group() -> str:
    return uuid.uuid4().hex[:12]
