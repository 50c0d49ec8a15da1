"""Score a model, in a folder or merged in memory, on a suite."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from jobs.errors import JobError
from jobs.kinds import Event
from jobs.kinds.parents import find, locate
from jobs.kinds.threads import room, use_threads
from jobs.kinds.unscored import done, part_of
from jobs.models.describe import describe


def run(spec: dict[str, Any]) -> Iterator[Event]:
    """Score every task of the suite that is not scored already.

    Args:
        spec: `model` (label), `model_id`, `source` (folder, Hub id, or "" for a merge in memory),
            `revision`, `suite`, `limit`, `tasks`, `part`, `device`, `data_dir` (of public benchmark
            files), `scored` (what is there), `known` (signature to fingerprint), `replies` (folder
            in which they are kept while a task is not finished), `halvings` (how often memory has
            run out); for a merge in memory `recipe` and `sources` too.

    Yields:
        A "model" event (which content is scored), then the scorer's own events.
    """
    from evaluation.journal import Journal
    from evaluation.published.folder import DATA_DIR
    from evaluation.run import evaluate
    from evaluation.suites import load_suite

    if spec.get("data_dir"):
        os.environ[DATA_DIR] = spec["data_dir"]
    suite = load_suite(spec["suite"])
    ready = yield from (_merged(spec) if not spec["source"] else _loaded(spec))
    if ready is None:
        yield {"kind": "stage", "stage": "Already scored"}
        yield {"kind": "result", "model": spec["model"], "reused": True}
        return
    model, tokenizer, skip, content = ready
    journal = Journal(Path(spec["replies"]), content) if spec.get("replies") else None
    n_scored = 0
    failed: dict[str, str] = {}
    joined: dict[str, Any] = {}
    for event in evaluate(
        model,
        tokenizer,
        suite,
        tasks=spec.get("tasks"),
        limit=spec.get("limit"),
        part=part_of(spec),
        model_label=spec["model"],
        skip=skip,
        journal=journal,
        halvings=spec.get("halvings", 0),
    ):
        n_scored += event.get("kind") == "score"
        if event.get("kind") == "task_error":
            failed[event["task"]] = event["text"]
        if event.get("kind") != "result":
            yield event
        else:
            joined = event.get("groups") or {}
    if failed and not n_scored and not skip:
        task, text = next(iter(failed.items()))
        raise JobError(f"No task could be scored. {task}: {text}", exit_code=1)
    yield {"kind": "result", "model": spec["model"], "model_id": spec["model_id"],
           "n_scored": n_scored, "n_reused": len(skip), "n_failed": len(failed),
           "groups": joined}  # fmt: skip


# transformers model, tokenizer, tasks to skip, what stands for the content
Ready = tuple[Any, Any, set[str], str]


def _loaded(spec: dict[str, Any]) -> Generator[Event, None, Ready | None]:
    """The model in a folder, unless nothing is left to score."""
    from evaluation.run import load_model, scoring_dtype

    yield {"kind": "stage", "stage": f"Loading {spec['model']}"}
    folder = yield from find(spec["source"], spec.get("revision"))
    facts = describe(folder, spec["known"])
    yield {"kind": "model", "model_id": spec["model_id"], **facts}
    device = spec.get("device", "auto")
    dtype = scoring_dtype(folder, device=device)
    skip = _skip(spec, facts["fingerprint"], dtype)
    if skip is None:
        return None
    use_threads([folder])
    model, tokenizer = load_model(
        folder, device=device, dtype=dtype, trusted_code=spec.get("trusted_code", ())
    )
    return model, tokenizer, skip, str(facts["fingerprint"])


def _merged(spec: dict[str, Any]) -> Generator[Event, None, Ready | None]:
    """The recipe's merge, made in memory; what stands for its content is the recipe's hash."""
    from evaluation.run import scoring_dtype
    from merging.formats.bases import config_folder
    from merging.in_memory import merge_to_model

    yield {"kind": "stage", "stage": f"Merging {spec['model']} in memory"}
    recipe, folders = yield from locate(spec)
    yield {"kind": "model", "model_id": spec["model_id"], "fingerprint": recipe.hash}
    device = spec.get("device", "auto")
    donor = config_folder(recipe.config_donor, folders, recipe_base=recipe.base)
    dtype = scoring_dtype(donor, device=device)
    skip = _skip(spec, recipe.hash, dtype)
    if skip is None:
        return None
    use_threads(folders.values())
    merging = merge_to_model(recipe, folders, device=device, **room(spec, folders.values()))
    model, tokenizer = yield from _pass_on(merging)
    import torch

    return model.to(getattr(torch, dtype)), tokenizer, skip, recipe.hash


def _pass_on(
    merging: Generator[Event, None, tuple[Any, Any]],
) -> Generator[Event, None, tuple[Any, Any]]:
    """A merge's events but its result, which is not the job's."""
    while True:
        try:
            event = next(merging)
        except StopIteration as stop:
            model, tokenizer = stop.value
            return model, tokenizer
        if event.get("kind") != "result":
            yield event


def _skip(spec: dict[str, Any], fingerprint: str, dtype: str) -> set[str] | None:
    """Tasks that are scored already; None when that leaves nothing to do."""
    have, left = done(spec["scored"], fingerprint, spec["suite"], limit=spec.get("limit"),
                      dtype=dtype, tasks=spec.get("tasks"), part=part_of(spec))  # fmt: skip
    return have if left else None
