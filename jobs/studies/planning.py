"""A study before it starts: its design against this machine, what it takes, what it can tell.

Nothing is registered, downloaded or queued here, so that a page may ask while somebody types.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from db import settings
from db.queries import models as model_rows
from db.queries import studies as study_rows
from evaluation.configs import config_hash, task_configs
from jobs import devices
from jobs.cluster import places as cluster
from jobs.models import adapters, describe, registry
from jobs.scores import detectable, scored
from jobs.studies import measured
from studies import checks, estimate
from studies.cost import MOST_LANES
from studies.errors import StudyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluation.suites import Suite
    from merging.planning.checks import Check
    from merging.planning.fit import Needs
    from studies.design import Design
    from studies.estimate import Facts, Plan


@dataclass(frozen=True)
class Here:
    """What there is of a study's models on this machine.

    Attributes:
        folders: reference -> folder, of those that are here.
        fingerprints: reference -> content hash, of those that are small enough to read at once.
        elsewhere: references of models that are taken for models on the Hub.
    """

    folders: Mapping[str, Path]
    fingerprints: Mapping[str, str]
    elsewhere: tuple[str, ...]


def plan(design: Design) -> Plan:
    """Check a design against the suite and the models, and say what it takes.

    Args:
        design: of the study. What a study of this name has scored already is taken off.

    Raises:
        StudyError: a suite or task that is not there, models that do not fit together or are the
            same, too few items.
        ModelError, JobError: a model that is nothing of a name, a folder and a Hub id, or whose
            files cannot be used.
    """
    suite = checks.check_suite(design)
    here = models_here(design)
    warnings: tuple[str, ...] = ()
    needs = None
    if design.base.model in here.folders and len(here.folders) > 1:
        found, needs = _look(design, here)
        warnings = checks.refuse_bad(found)
    if here.elsewhere:
        warnings += (_downloads(here.elsewhere, design.base.model in here.folders),)
    if suite.missing:
        warnings += (_missing(suite),)
    row = study_rows.study(design.name)
    done = min(row.done, sum(design.counts().values())) if row is not None else 0
    facts = facts_of(design, suite, here, needs, done)
    checks.check_items(design, estimate.reported(design, facts.items))
    return estimate.plan(design, facts, warnings)


def models_here(design: Design) -> Here:
    """Look for a study's models among the registered ones, in folders and in the Hub's cache.

    Raises:
        StudyError: two of them are the same.
        ModelError, JobError: one is nowhere, or has no usable weights.
    """
    from merging.checkpoints.sources import resolve
    from merging.errors import HubError

    registry.ensure_sandbox()
    known, sources = registry.folders(), registry.names()
    folders: dict[str, Path] = {}
    elsewhere = []
    for one in design.models.values():
        both = adapters.halves(one.model)
        ref = both[1] if both else one.model
        try:
            folders[one.model] = resolve(
                ref if ref in known else sources.get(ref, ref), known, revision=one.revision,
                download=False,
            )  # fmt: skip
        except HubError:
            registry.check_hub_id(sources.get(ref, ref))
            elsewhere.append(one.model)
    checks.check_distinct(design, {ref: str(path) for ref, path in folders.items()}, {})
    prints = {ref: _fingerprint(folder) for ref, folder in folders.items()}
    fingerprints = {ref: found for ref, found in prints.items() if found}
    checks.check_distinct(design, {}, fingerprints)
    return Here(folders, fingerprints, tuple(elsewhere))


def facts_of(
    design: Design, suite: Suite, here: Here, needs: Needs | None = None, done: int = 0
) -> Facts:
    """What is known of models, suite and machine.

    Args:
        design: of the study.
        suite: that it is scored on.
        here: where its models are.
        needs: of one merge of all models, which knows what memory is free.
        done: points that are scored already.
    """
    asked = detectable.before(design.suite, design.limit, None, design.tasks).plan
    items: dict[str, int | None] = dict.fromkeys(design.tasks or suite.tasks)
    items |= asked.items
    base = here.folders.get(design.base.model)
    size = describe.headers(base) if base is not None else {}
    n_parameters = size.get("n_parameters") or size_in_name(design.base.model)
    places = devices.devices()
    on_gpu = places != ["cpu"]
    # of a model that is not here: in bfloat16, as nearly all are published
    file_bytes = size.get("size_bytes") or (n_parameters and 2 * n_parameters)
    near = measured.of_like_models(n_parameters)
    return estimate.Facts(
        items=items,
        n_parameters=n_parameters,
        file_bytes=file_bytes,
        # on a CPU everything is scored in float32
        model_bytes=file_bytes if on_gpu or n_parameters is None else 4 * n_parameters,
        scored=_scored(design, suite, here),
        task_seconds=measured.task_seconds(suite.name, asked.items, n_parameters),
        seconds_an_item=near[0] if near else None,
        measured_parameters=near[1] if near else None,
        device="cuda" if on_gpu else "cpu",
        gpus=len(places),
        cores=measured.cores(),
        ram_free_bytes=needs.ram_free_bytes if needs else measured.free_memory(),
        vram_free_bytes=needs.vram_free_bytes if needs else None,
        done=done,
        most_lanes=_most_lanes(design),
    )


def _most_lanes(design: Design) -> int:
    """Lanes at a time: on a cluster as many as a stage has points."""
    if settings.ray_address() and cluster.known():
        return max(design.counts().values(), default=1)
    return MOST_LANES


def size_in_name(ref: str) -> int | None:
    """Parameters as a name tells them (`Meta-Llama-3-8B`); None where it does not."""
    found = re.findall(r"(?<![\w.])(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", ref.lower())
    if not found:
        return None
    number, unit = found[-1]
    return round(float(number) * (1e9 if unit == "b" else 1e6))


def _look(design: Design, here: Here) -> tuple[Sequence[Check], Needs]:
    """Do the models that are here fit together, and were they made from the base?"""
    from merging.errors import ModelError, RecipeError
    from merging.planning.plan import plan as plan_merge

    sources = {ref: str(folder) for ref, folder in here.folders.items()}
    folders = {**adapters.folders_of_bases(sources), **here.folders}
    try:
        found = plan_merge(checks.recipe_of_all(design, here.folders), folders, None, "auto")
    except (ModelError, RecipeError) as error:
        raise StudyError(str(error)) from None
    return found.checks, found.needs


def _scored(design: Design, suite: Suite, here: Here) -> frozenset[str]:
    """The models of which it is certain, without loading torch, that nothing is left to score."""
    if devices.devices() != ["cpu"]:
        return frozenset()  # in which type a GPU scores is known when it does
    configs = task_configs(suite, design.limit, scored.CPU_DTYPE)
    wanted = [(task, config_hash(configs[task])) for task in design.tasks or suite.tasks]
    by_source = {source: name for name, source in model_rows.names().items()}
    found = set()
    for name, one in design.models.items():
        folder = str(here.folders.get(one.model, ""))
        row = model_rows.model(by_source.get(folder, one.model))
        if row is None or not Path(folder).is_dir():
            continue
        there = set(scored.of_model(row.id, suite.name))
        if all((row.fingerprint, *each) in there for each in wanted):
            found.add(name)
    return frozenset(found)


def _fingerprint(folder: Path) -> str | None:
    """Content hash of a folder's weights, unless it would take long to read them."""
    facts = describe.headers(folder)
    if facts["size_bytes"] > registry.READ_AT_ONCE_BYTES:
        return registry.fingerprints().get(facts["signature"])
    return _read(str(folder), facts["signature"])


@lru_cache(maxsize=256)
def _read(folder: str, _signature: str) -> str | None:
    found: str | None = describe.describe(Path(folder), registry.fingerprints())["fingerprint"]
    return found


def _downloads(refs: Sequence[str], base_is_here: bool) -> str:
    who = refs[0] if len(refs) == 1 else f"{', '.join(refs[:-1])} and {refs[-1]}"
    verb = "is" if len(refs) == 1 else "are"
    guess = "" if base_is_here else " Time and memory are guessed from the size in the base's name."
    return (
        f"{who} {verb} not on this machine: whether all models fit together is known when they "
        f"have been downloaded.{guess}"
    )


def _missing(suite: Suite) -> str:
    n = len(suite.missing)
    files = "1 file" if n == 1 else f"{n} files"
    return (
        f"{files} of public data that the suite {suite.name} reads {'is' if n == 1 else 'are'} "
        f"not on this machine: `python cli.py data {suite.name}` says which, and where they are "
        "published."
    )
