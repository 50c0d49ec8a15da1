"""What only the database knows, put into a job's spec before its process starts."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from db import settings
from db.engine import session
from db.queries import models as model_rows
from db.tables import Job
from jobs import devices
from jobs.errors import JobError
from jobs.models import adapters, consent, health, recipes, registry, similarity
from jobs.models import names as naming
from jobs.running import memory
from jobs.running.queue import Claim
from jobs.scores import judging, scored

THREADS = "CRUCIBLE_THREADS"  # CPU threads that a job may use


def complete(claim: Claim) -> dict[str, Any]:
    """The spec that a job's process gets.

    Raises:
        JobError: what the job is about is not there any more.
    """
    claim = replace(claim, spec={**claim.spec, **memory.options(claim)})
    return _completed(claim)


def _completed(claim: Claim) -> dict[str, Any]:
    match claim.kind:
        case "merge":
            return {**claim.spec, **_merge(claim.spec)}
        case "evaluate":
            return {**claim.spec, **_evaluation(claim.spec)}
        case "similarity":
            out = str(similarity.folder_of_results())
            return {**claim.spec, "known": registry.fingerprints(), "out": out}
        case "health" | "verify":
            return {**claim.spec, **health.complete(claim.spec)}
        case "judge":
            return {**claim.spec, **judging.complete(claim.spec)}
        case "study":
            from jobs.studies import prepare as study  # what it needs is not light

            return {**claim.spec, **study.complete(claim.spec)}
        case "search":
            from jobs.search import prepare as search

            return {**claim.spec, **search.complete(claim.spec, group_of(claim.job_id))}
    return claim.spec


def group_of(job_id: int) -> str | None:
    """The group that a job belongs to."""
    with session() as opened:
        job = opened.get(Job, job_id)
        return job.group if job else None


def models_of(spec: dict[str, Any]) -> list[str]:
    """Registered names of the models that a job reads."""
    return [str(spec.get("model", "")), *map(str, (spec.get("rows") or {}).values())]


def environment(device: str, threads: int | None) -> dict[str, str]:
    """Variables of a job's process: the device it sees, and how many threads it may use."""
    count = threads or os.cpu_count() or 1
    return {**devices.environment(device), THREADS: str(count)}


def _merge(spec: dict[str, Any]) -> dict[str, Any]:
    name = naming.check(str(spec["name"]))
    given = {"sources": spec.get("sources"), "rows": spec.get("rows")}
    if given["sources"] is None:  # submitted by hand, without `jobs.running.groups`
        recipe, rows = recipes.parents_of(recipes.parse(str(spec["recipe"])))
        given = {**recipes.sources_of(rows), "recipe": recipe.to_yaml()}
    return {
        **given,
        "out": str(settings.models_folder() / naming.folder(name)),
        "known": registry.fingerprints(),
        "made": registry.merges_on_disk(),
    }


def _evaluation(spec: dict[str, Any]) -> dict[str, Any]:
    ref = str(spec["model"])
    if spec.get("merge_job") is not None:
        with session() as opened:
            job = opened.get(Job, int(spec["merge_job"]))
            ref = str(((job.result if job else None) or {}).get("model", ref))
    found = subject(ref)
    suite_name = str(spec.get("suite_name") or spec["suite"])
    scores = scored.of_model(found["model_id"], suite_name)
    replies = str(settings.cache_folder() / "replies")
    return {**found, "suite_name": suite_name, "scored": scores, "replies": replies}


def subject(ref: str) -> dict[str, Any]:
    """What a job needs to have a model: its row, where it lies, or the recipe to merge it by.

    Raises:
        JobError, ModelError: it is nowhere.
    """
    if recipes.is_recipe(ref):
        row = recipes.recipe_row(ref)
    else:
        row = model_rows.model(ref) or recipes.get(registry.register_model(ref))
    more: dict[str, Any] = {
        "model": row.name,
        "model_id": row.id,
        "source": row.source,
        "revision": row.revision,
        "known": registry.fingerprints(),
        "trusted_code": consent.granted(),
    }
    if adapters.is_adapter(row.source):
        more |= {"source": "", **adapters.as_recipe(row.name, row.source)}
    elif not row.source:
        if row.recipe_yaml is None:
            raise JobError(f"“{row.name}” has neither a folder nor a recipe: nothing to score.")
        recipe, rows = recipes.parents_of(recipes.parse(row.recipe_yaml))
        more |= {"recipe": recipe.to_yaml(), **recipes.sources_of(rows)}
    return more
