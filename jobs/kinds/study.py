"""A lane of a study: its points, merged into one model in memory and scored."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.kinds import Event
from jobs.kinds.parents import locate
from jobs.kinds.threads import use_threads

if TYPE_CHECKING:
    from evaluation.suites import Suite
    from merging.recipes.recipe import Recipe
    from studies.lane import LanePoint

SHARE_OF_MEMORY = 0.25  # of what is free, for combined task vectors


def run(spec: dict[str, Any]) -> Iterator[Event]:
    """Merge and score a lane's points.

    Args:
        spec: `points` (each with `key`, `label`, `steps` and `tasks`), `sources` (reference to
            folder or Hub id), `known` (signature to fingerprint), `suite`, `limit`, `device`,
            `data_dir`, `halvings` (how often memory has run out), `last_try` (with less of it), and
            `split`: whether the items' sources are wanted, for a split of them.

    Yields:
        The events of `studies.lane.Lane`, and "point_sources" where they are wanted.

    Raises:
        SuiteError: there is no such suite.
    """
    from evaluation.published.folder import DATA_DIR
    from evaluation.run import scoring_dtype
    from evaluation.suites import load_suite
    from merging.formats.bases import config_folder
    from studies.lane import Lane

    if spec.get("data_dir"):
        os.environ[DATA_DIR] = spec["data_dir"]
    suite = load_suite(spec["suite"])
    if spec["split"]:
        yield {"kind": "stage", "stage": "Reading the suite"}
        yield {"kind": "point_sources", "sources": sources_of(suite)}
    if not spec["points"]:
        yield {"kind": "stage", "stage": "Nothing is left to score"}
        yield {"kind": "result", "n_points": 0, "n_failed": 0}
        return
    yield {"kind": "stage", "stage": "Looking for the parents"}
    folders: dict[str, Path] = {}
    points = yield from _located(spec, folders)
    device = spec.get("device", "auto")
    threads = use_threads(set(folders.values()))
    halvings = int(spec.get("halvings", 0))
    donor = next((one.steps[-1].config_donor for one in points if one.problem is None), None)
    dtype = "float32"
    if donor is not None:
        donor_folder = config_folder(donor, folders, recipe_base=donor)
        dtype = scoring_dtype(donor_folder, device=device)
    yield from Lane(
        points,
        folders,
        suite,
        limit=spec.get("limit"),
        device=device,
        dtype=dtype,
        most_bytes=int(_free_bytes() * SHARE_OF_MEMORY) >> halvings,
        threads=1 if halvings else threads,
        halvings=halvings,
        last_try=spec.get("last_try", False),
    ).run()


def sources_of(suite: Suite) -> dict[str, list[list[str | None]]]:
    """Task -> content and cluster of each of its documents, for `evaluation.holdout.split`.

    A task whose data cannot be read takes no part, as in `evaluation.held_out_items`.
    """
    from evaluation import held_out_items
    from evaluation.errors import EvaluationError
    from evaluation.harness.tasks import load_task, quiet_harness

    files = dict(suite.task_files())
    found: dict[str, list[list[str | None]]] = {}
    for name in suite.tasks:
        try:
            with quiet_harness():
                task = load_task(suite, name, files)
        except EvaluationError:
            continue
        found[name] = [[one.content, one.cluster] for one in held_out_items.sources_of(task)]
    return found


def _located(
    spec: Mapping[str, Any], folders: dict[str, Path]
) -> Generator[Event, None, list[LanePoint]]:
    """The points with their recipes tied to the parents' content, and the parents' folders.

    A parent that is not to be had costs the points that need it, not the others.
    """
    from merging.recipes.recipe import Recipe
    from studies.lane import LanePoint, in_a_sentence
    from studies.points import PREVIOUS

    prints: dict[str, str] = {}
    problems: dict[tuple[str, ...], str | None] = {}
    found = []
    for point in spec["points"]:
        steps = [Recipe.from_yaml(text) for text in point["steps"]]
        problem = None
        for recipe in steps:
            plain = _without(recipe, PREVIOUS)
            asked = tuple(plain.references)
            if asked not in problems:
                problems[asked] = None
                try:
                    pinned, here = yield from locate({**spec, "recipe": plain.to_yaml()})
                    folders.update(here)
                    prints.update({ref: pinned.identity(ref) for ref in pinned.references})
                except Exception as error:
                    if not hasattr(error, "exit_code"):
                        raise
                    problems[asked] = in_a_sentence(error)
            problem = problem or problems[asked]
        settled = tuple(_pin(recipe, prints) for recipe in steps)
        tasks = tuple(point["tasks"]) if point["tasks"] is not None else None
        found.append(LanePoint(point["key"], point["label"], settled, tasks, problem))
    return found


def _without(recipe: Recipe, name: str) -> Recipe:
    """The recipe with the base in the place of a model that is no folder."""
    if name not in recipe.references:
        return recipe
    data = recipe.model_dump()
    for one in data["models"]:
        if one["model"] == name:
            one |= {"model": recipe.base, "fingerprint": recipe.base_fingerprint}
    return type(recipe)(**data)


def _pin(recipe: Recipe, prints: Mapping[str, str]) -> Recipe:
    """The recipe, tied to content where it is not yet: what it was planned with stays."""
    open_ones: Sequence[str] = [ref for ref in recipe.references if recipe.identity(ref) == ref]
    return recipe.pinned({ref: prints[ref] for ref in open_ones if ref in prints})


def _free_bytes() -> int:
    import psutil

    return int(psutil.virtual_memory().available)
