"""A lane of a search: trials asked of Optuna, merged into one model in memory and scored.

Its last job only tells what the worker has chosen; the scores on held-out items are ordinary
evaluations.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jobs.kinds import Event
from jobs.kinds.parents import locate
from jobs.kinds.threads import use_threads


def run(spec: dict[str, Any]) -> Iterator[Event]:
    """Work on a search's trials until there are enough.

    Args:
        spec: `storage` (name of the study in Optuna's tables), `design`, `domains` (of its
            models), `lane`, `sources` (reference to folder or Hub id), `known` (signature to
            fingerprint), `device`, `data_dir`; or `chosen`, of the last job.

    Yields:
        The events of `search.lane.SearchLane`.

    Raises:
        SearchError, SuiteError, ModelError: one sentence each.
        SearchFailure: too many trials failed.
    """
    if "chosen" in spec:
        yield {"kind": "stage", "stage": "The best were chosen; their held-out scores come now"}
        yield {"kind": "result", "chosen": [one["ref"] for one in spec["chosen"]["trials"]]}
        return
    from db import settings
    from evaluation.holdout import Part
    from evaluation.published.folder import DATA_DIR
    from evaluation.run import scoring_dtype
    from merging.formats.bases import config_folder
    from search import storage
    from search.checks import check_suite
    from search.design import SearchDesign
    from search.lane import SearchLane
    from search.size import Distance
    from search.space import SearchSpace
    from search.trials import Trials
    from studies.in_place import Bench

    if spec.get("data_dir"):
        os.environ[DATA_DIR] = spec["data_dir"]
    design = SearchDesign.from_mapping(spec["design"])
    asked = check_suite(design, spec["domains"])
    yield {"kind": "stage", "stage": "Looking for the parents"}
    space = SearchSpace(design)
    folders: dict[str, Path] = {}
    prints: dict[str, str] = {}
    whole = space.arithmetic(1.0) if design.recipe.get("base") else None
    for recipe in (whole, space.recipe(space.sample(space.methods[0], "low"))):
        if recipe is not None and not set(recipe.references) <= set(prints):
            pinned, here = yield from locate({**spec, "recipe": recipe.to_yaml()})
            folders.update(here)
            prints.update({ref: pinned.identity(ref) for ref in pinned.references})
    device = spec.get("device", "auto")
    threads = use_threads(set(folders.values()))
    base = design.recipe.get("base")
    donor = config_folder(base or design.references[0], folders, recipe_base=base)
    merger = Bench(
        folders, device=device, dtype=scoring_dtype(donor, device=device), threads=threads
    )
    distance = None
    if any(one.of == "change" for one in design.objectives):
        distance = Distance(str(base), folders)
    part = Part("search", design.split.seed, design.split.share)
    with storage.opened(settings.database_url()) as opened:
        trials = Trials(opened, spec["storage"], design, int(spec["lane"]))
        left = trials.recover(trials.lane)
        if left:
            yield {"kind": "log", "text": f"{left} trials that a process left are asked again."}
        lane = SearchLane(trials, merger, prints, asked.suite, part, asked.objectives, distance)
        yield from lane.run()
