"""What one press becomes: a merge, the scores of its result, and those of its parents."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from db.engine import session, transaction
from db.queries.models import ModelRow
from db.tables import Job
from evaluation.published.folder import data_folder
from jobs import devices
from jobs.errors import JobError
from jobs.models import recipes, registry
from jobs.running import duplicates, queue
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
    join: bool = True,
) -> str:
    """Merge by a recipe, then score the result and its parents; return the group's name.

    A merge that was made before by the same recipe from the same parents is used again, and scores
    that are there under the same configuration are not made again; those jobs are in the group
    already, as done, and their `stage` says so. While all of it is under way already, in another
    tab for instance, the group is the one that is under way.

    Args:
        recipe: the recipe, or its YAML text.
        name: name of the merge in the registry and of its folder; default from the recipe.
        suite: suite to score on; None merges only.
        limit: items per task; None for all.
        with_parents: whether the constituents are scored too.
        device: "auto", "cpu" or "cuda".
        part: only this part of the items (`evaluation.holdout.part`): scores for choosing are
            taken on the search part, scores for reporting on the held-out part.
        join: False makes a merge of this name and a group of its own, whatever is under way.

    Raises:
        RecipeError, ModelError, SuiteError, JobError: wrong input, in one sentence.
    """
    asked = _suite(suite, limit, None, device, part) if suite is not None else None
    recipes.check_device(device)
    pinned, rows = recipes.parents_of(recipes.parse(recipe))
    parents = recipes.distinct(rows) if asked is not None and with_parents else []
    made = recipes.made_before(pinned)
    if made is not None:
        stage = f"Already merged: “{made.name}” is used again"
        jobs = [_noted("merge", f"Merge {made.name}", stage, recipes.outcome(made))]
        subjects = [made, *parents] if asked is not None else []
        return _enter([*jobs, *(_scoring(row, asked) for row in subjects if asked)], join=join)
    spec = {"recipe": pinned.to_yaml(), "device": device, **recipes.sources_of(rows)}
    merge = duplicates.marked(Job(kind="merge", spec=spec), f"{pinned.hash} {device}")
    label = _name_under_way(merge) if join else None
    if label is None:
        label = recipes.free_name(name, pinned)
        recipes.check_plan(pinned, rows, label, device)
    merge.title, merge.spec = f"Merge {label}", {**spec, "name": label}
    return _enter([_scoring(row, asked) for row in parents if asked], merge, asked, join=join)


def benchmark(
    models: Sequence[str],
    suite: str,
    *,
    limit: int | None = None,
    tasks: Sequence[str] | None = None,
    device: str = "auto",
    part: Part | None = None,
    narrow: bool = False,
    join: bool = True,
) -> str:
    """Score models on a suite, a job each; return the group's name.

    While all of it is under way already, the group is the one that is under way.

    Args:
        models: registered names, folders, Hub ids, or paths of recipe files (merged in memory).
        suite: name of a suite, or path of its file.
        limit: items per task; None for all.
        tasks: only these of the suite's tasks.
        device: "auto", "cpu" or "cuda".
        part: only this part of the items (`evaluation.holdout.part`).
        narrow: the models are so small that each takes a single core: on a CPU as many are scored
            side by side as there are cores.
        join: False makes a group of its own, whose jobs wait for what is under way.

    Raises:
        RecipeError, ModelError, SuiteError, JobError: wrong input, in one sentence.
    """
    asked = replace(_suite(suite, limit, tasks, device, part), narrow=narrow)
    if not models:
        raise JobError("Name at least one model to score.")
    found = _asked_for(models)
    return _enter(
        [_scoring(recipes.get(number), asked, refs) for number, refs in found.items()], join=join
    )


def _asked_for(models: Sequence[str]) -> dict[int, list[str]]:
    """Row of each model to what it was called; two names of one model make one job."""
    found: dict[int, list[str]] = {}
    for ref in dict.fromkeys(models):
        is_recipe = recipes.is_recipe(ref)
        model_id = recipes.recipe_row(ref).id if is_recipe else registry.register_model(ref)
        found.setdefault(model_id, []).append(ref)
    return found


def _scoring(row: ModelRow, asked: _Suite, refs: Sequence[str] = ()) -> Job:
    """One model's evaluation, or a note that all of it is there; not inserted yet."""
    title = f"Score {row.name} on {asked.title}"
    device = "cpu" if devices.devices() == ["cpu"] else asked.device
    if scored.is_complete(row.id, row.fingerprint, row.source, asked.ref, limit=asked.limit,
                          device=device, tasks=asked.tasks, part=asked.part):  # fmt: skip
        result = {"model": row.name, "model_id": row.id, "reused": True}
        return _noted("evaluate", title, "Already scored", result, {"refs": list(refs)})
    spec = asked.spec(row.name, refs=list(refs))
    return duplicates.marked(Job(kind="evaluate", title=title, spec=spec))


def _name_under_way(merge: Job) -> str | None:
    """The name that a merge like this one, which waits or runs, gives its result."""
    with session() as opened:
        found = duplicates.twin(opened, merge)
        return str(found.spec["name"]) if found is not None else None


def _enter(
    jobs: Sequence[Job], merge: Job | None = None, asked: _Suite | None = None, *, join: bool
) -> str:
    """Insert the jobs of one press, all or none; return their group, or that of their twins.

    Args:
        jobs: evaluations of models that are there, and notes of what is done.
        merge: the merge to be made.
        asked: what its result is scored on.
        join: whether what is under way may stand for these.
    """
    with transaction() as opened:  # two tabs that ask at once ask one after the other
        ahead = duplicates.twin(opened, merge) if merge is not None and join else None
        first = [merge] if merge is not None else []
        if merge is not None and asked is not None:
            name = str((ahead or merge).spec["name"])
            title, spec = f"Score {name} on {asked.title}", asked.spec(name)
            first.append(duplicates.marked(Job(kind="evaluate", title=title, spec=spec)))
        wanted = [job for job in (*first, *jobs) if job.state != "done"]
        group = duplicates.common_group(opened, wanted) if join and wanted else None
        if group is not None:
            return group
        group = uuid.uuid4().hex[:12]
        for job in (*first, *jobs):
            job.group = group
        needs: tuple[int, ...] = ()
        if merge is not None:
            needs = (ahead.id,) if ahead is not None else (queue.add(opened, merge),)
        for job in first[1:]:
            job.spec = {**job.spec, "merge_job": needs[0]}
            duplicates.add_behind(opened, job, needs)
        for job in jobs:
            duplicates.add_behind(opened, job)
        return group


def _noted(
    kind: str,
    title: str,
    stage: str,
    result: dict[str, Any],
    spec: dict[str, Any] | None = None,
) -> Job:
    """A job that has nothing to do, done already; not inserted yet."""
    now = time.time()
    return Job(kind=kind, title=title, spec=spec or {}, state="done", stage=stage, result=result,
               started=now, ended=now)  # fmt: skip


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
