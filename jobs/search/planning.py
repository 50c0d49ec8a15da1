"""A search before it starts: its design against this machine, what it takes, what it can tell.

Nothing is registered, downloaded or queued here, so that a page may ask while somebody types.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from db.queries import models as model_rows
from db.queries import searches as search_rows
from evaluation.statistics import planning
from jobs import devices
from jobs.models import adapters, describe
from jobs.scores import detectable
from jobs.search import state
from jobs.studies import measured
from jobs.studies.planning import models_here, size_in_name
from search.checks import check_items, check_suite, parts
from search.errors import SearchError, about
from search.estimate import SearchPlan
from search.space import SearchSpace
from studies.cost import SMALL_PARAMETERS

if TYPE_CHECKING:
    from search.design import SearchDesign

MERGE_SHARE = 0.15  # of a trial's time, where nothing else is known


def plan(design: SearchDesign) -> SearchPlan:
    """Check a design against the suite and the models, and say what it takes.

    Args:
        design: of the search. What a search of this name has done already is taken off.

    Raises:
        SearchError: a suite or task that is not there, models that do not fit together, a set
            that no merge may be chosen by, too few items.
        ModelError, JobError: a model that is nothing of a name, a folder and a Hub id.
    """
    experts = [
        row.domain
        for ref in design.references
        if ref != design.recipe.get("base") and (row := model_rows.model(ref)) and row.domain
    ]
    with about("items"):
        asked = check_suite(design, experts)
    with about("models"):
        here = _models(design)
        warnings = _look(design, here.folders)
    if here.elsewhere:
        names = ", ".join(here.elsewhere)
        warnings += (f"Not on this machine, so downloaded first: {names}.",)
    counts = detectable.before(design.suite, None, None, asked.tasks).plan
    items: dict[str, int | None] = dict.fromkeys(asked.tasks)
    items |= counts.items
    choosing, reported = parts(design, items)
    with about("items"):
        check_items(choosing, reported)
    space = SearchSpace(design)
    known = design.grid if design.recipe.get("base") else ()
    outside = sum(space.params_of(scale) is None for scale in known)
    there = search_rows.search(design.name)
    done = state.load(there.id).counts()["done"] if there is not None else 0
    trials = design.trials
    if design.sampler.name == "grid":
        with about("sampler"):
            trials = _grid(design, space, outside)
    elif len(known) >= trials:
        warnings += (
            f"The {len(known)} known good points are all of the {trials} trials: nothing is left "
            "for the sampler to choose.",
        )
    lanes, seconds, basis = _time(design, here, choosing, asked.suite.name, trials - done)
    return SearchPlan(
        trials=trials,
        done=done,
        known=len(known),
        outside=outside,
        parameters=tuple(space.names),
        combinations=space.combinations(),
        choosing=choosing,
        reporting=planning.plan(reported),
        lanes=lanes,
        seconds=seconds,
        basis=basis,
        warnings=warnings,
    )


def _grid(design: SearchDesign, space: SearchSpace, outside: int) -> int:
    """How many trials a grid is.

    Raises:
        SearchError: more than the search is to have.
    """
    points = space.combinations() or 0
    if points > design.trials:
        raise SearchError(
            f"The grid has {points:,} points and the search {design.trials:,} trials; take larger "
            "steps, or more trials."
        )
    return points + outside


def _models(design: SearchDesign) -> Any:
    """Where the models are."""
    revisions = {one["model"]: one.get("revision") for one in design.recipe["models"]}
    base = design.recipe.get("base")
    if base:
        revisions[base] = design.recipe.get("base_revision")
    of: Any = SimpleNamespace(
        models={ref: SimpleNamespace(model=ref, revision=revisions.get(ref))
                for ref in design.references}
    )  # fmt: skip
    try:
        return models_here(of)
    except Exception as error:
        if type(error).__name__ != "StudyError":
            raise
        raise SearchError(str(error).replace("of a study", "of a search")) from None


def _look(design: SearchDesign, folders: Any) -> tuple[str, ...]:
    """Do the models that are here fit together, and were they made from the base?"""
    from merging.errors import ModelError, RecipeError
    from merging.planning.plan import plan as plan_merge

    if set(design.references) - set(folders):
        return ()
    space = SearchSpace(design)
    recipe = space.arithmetic(1.0) if design.recipe.get("base") else (
        space.recipe(space.sample(space.methods[0], "low")))  # fmt: skip
    sources = {ref: str(folder) for ref, folder in folders.items()}
    try:
        found = plan_merge(recipe, {**adapters.folders_of_bases(sources), **folders}, None, "auto")
    except (ModelError, RecipeError) as error:
        raise SearchError(str(error)) from None
    warnings = []
    for check in found.checks:
        text = f"{check.detail} {check.fix}".strip()
        if check.state == "bad" and check.title not in ("Memory", "GPU memory"):
            raise SearchError(text)
        if check.state != "ok":
            warnings.append(text)
    return tuple(warnings)


def _time(
    design: SearchDesign, here: Any, choosing: Mapping[str, int | None], suite: str, left: int
) -> tuple[int, float | None, str]:
    """Processes at once, seconds of all trials that are left, and what that is taken from."""
    first = design.references[0]
    folder = here.folders.get(first)
    size = describe.headers(folder) if folder is not None else {}
    n_parameters = size.get("n_parameters") or size_in_name(first)
    small = n_parameters is not None and n_parameters < SMALL_PARAMETERS
    places = devices.devices()
    lanes = len(places) if places != ["cpu"] else (measured.cores() if small else 1)
    known = {task: n for task, n in choosing.items() if n is not None}
    times = measured.task_seconds(suite, known, n_parameters)
    if known and set(times) == set(known):
        each, basis = sum(times.values()), "from scores of such models on this machine"
    elif (near := measured.of_like_models(n_parameters)) is not None:
        each, basis = near[0] * sum(known.values()), "from other scores on this machine"
    else:
        return lanes, None, "nothing was scored on this machine before"
    return lanes, max(0, left) * each * (1 + MERGE_SHARE) / max(1, lanes), basis
