"""A point of a study as a folder: one merge, or two of which the second takes the first."""

from __future__ import annotations

from collections.abc import Sequence

from db import settings
from db.queries import jobs as job_rows
from db.queries import models as model_rows
from jobs.models import names as naming
from jobs.models import recipes, registry
from jobs.running import api
from merging.recipes.recipe import Recipe
from studies.points import PREVIOUS


def merge_steps(steps: Sequence[str], name: str, *, suite: str, limit: int | None) -> str:
    """Merge recipes one upon the other into folders and score the last; return the group.

    Args:
        steps: YAML of each; those after the first take the model `@previous`.
        name: of the last in the registry; the one below is called after it.
        suite: that the result and its parents are scored on.
        limit: items per task.

    Raises:
        RecipeError, ModelError, JobError: it cannot be merged now.
    """
    if len(steps) == 1:
        return api.merge_and_benchmark(steps[0], name=name, suite=suite, limit=limit)
    first, last = map(Recipe.from_yaml, steps)
    name = recipes.free_name(name, last)
    made = recipes.made_before(recipes.parents_of(first)[0])
    if made is not None:
        over = onto(last, made.name)
        return api.merge_and_benchmark(over, name=name, suite=suite, limit=limit)
    below = _free(f"{name}-below")
    group = api.merge_and_benchmark(first, name=below, join=False)
    (merge,) = [job for job in job_rows.group(group) if job.kind == "merge"]
    recipe = onto(last, below)
    rows = {
        ref: recipes.get(registry.register_model(ref)) for ref in recipe.references if ref != below
    }
    given = recipes.sources_of(rows)
    given["sources"][below] = str(settings.models_folder() / naming.folder(below))
    given["rows"][below] = below
    spec = {"recipe": recipe.to_yaml(), "name": name, "device": "auto", **given}
    second = api.submit("merge", spec, title=f"Merge {name}", group=group, needs=[merge.id])
    from evaluation.suites import load_suite

    found = load_suite(suite)
    asked = {"suite": found.ref, "suite_name": found.name, "limit": limit, "tasks": None,
             "device": "auto", "part": None}  # fmt: skip
    title = f"Score {name} on {found.name}"
    spec = {"model": name, "merge_job": second, **asked}
    api.submit("evaluate", spec, title=title, group=group, needs=[second])
    return group


def onto(recipe: Recipe, name: str) -> Recipe:
    """The recipe with the merge before under its registered name."""
    data = recipe.model_dump()
    for one in data["models"]:
        if one["model"] == PREVIOUS:
            one |= {"model": name, "fingerprint": None}
    return Recipe(**data)


def _free(name: str) -> str:
    taken = {row.name for row in model_rows.models(archived=True)}
    return naming.suggest(name, taken | {path.name for path in settings.models_folder().iterdir()})
