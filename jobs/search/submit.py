"""What a press of *Start* on a search becomes, and stopping, resuming, extending it.

One press is one group of jobs: an evaluation of each parent on the search items, a few lanes that
ask Optuna for trials until there are enough, and a last job that chooses and has what it chose
scored on the held-out items.
"""

from __future__ import annotations

import uuid

from sqlalchemy import delete

from db import settings
from db.engine import transaction
from db.queries import searches as search_rows
from db.queries.models import ModelRow
from db.queries.searches import SearchRow
from db.tables import Job, Search
from evaluation.published.folder import data_folder
from jobs.lanes import lanes
from jobs.models import recipes
from jobs.running import api, queue
from jobs.search import models, scoring, state
from jobs.search.planning import plan
from search import storage
from search.checks import check_suite
from search.design import SearchDesign
from search.errors import SearchError
from search.trials import OUTSIDE

__all__ = ["extend", "materialise", "plan", "recipe_of", "remove", "resume", "stop", "submit"]

MOST_DEATHS = 12  # a trial that kills its process is left out after two of them
# what all trials of a search share; the others may change when it goes on
KEPT = ("recipe", "space", "objectives", "suite", "tasks", "limit", "split")


def submit(design: SearchDesign, *, device: str = "auto") -> tuple[int, str]:
    """Start a search, go on with the one of this name, or extend it; return it and its group.

    Args:
        design: of the search. One of the same name goes on with what is new.
        device: "auto", "cpu" or "cuda".

    Raises:
        SearchError: a design that does not fit what is there, or the search of the same name.
        ModelError, JobError: a model that is nowhere or cannot be used.
    """
    recipes.check_device(device)
    plan(design)
    there = search_rows.search(design.name)
    if there is not None:
        return there.id, extend(there.id, design, device=device)
    known = models.register(design)
    pinned = models.pinned(design, known)
    with transaction() as opened:
        row = Search(
            name=design.name,
            design=pinned.to_mapping(),
            design_hash=design.hash,
            storage=f"crucible {uuid.uuid4().hex[:12]}",
            note=design.note,
        )
        opened.add(row)
        opened.flush()
        search_id = row.id
    return search_id, _start(search_id, known, device)


def extend(search_id: int, design: SearchDesign, *, device: str = "auto") -> str:
    """Give a search more trials or another sampler and go on. Returns the group.

    Raises:
        SearchError: there is no such search, or what all its trials share has changed.
    """
    row = state.get(search_id)
    known = models.register(design)
    pinned = models.pinned(design, known)
    check_kept(state.design_of(row), pinned)
    if row.design_hash == design.hash and row.group and api.open_jobs(row.group):
        return row.group
    stop(search_id)
    with transaction() as opened:
        search = opened.get_one(Search, search_id)
        search.design, search.design_hash = pinned.to_mapping(), design.hash
        search.note, search.archived = design.note or search.note, False
    return _start(search_id, known, device)


def resume(search_id: int, *, device: str = "auto") -> str:
    """Go on with what is left; return the group.

    Raises:
        SearchError: there is no such search.
    """
    row = state.get(search_id)
    if row.group and api.open_jobs(row.group):
        return row.group
    return _start(search_id, models.register(state.design_of(row)), device)


def stop(search_id: int) -> int:
    """Ask for a search's jobs to be stopped; what is scored stays. Returns how many there were."""
    row = state.get(search_id)
    return api.cancel_group(row.group) if row.group else 0


def remove(search_id: int) -> None:
    """Stop a search and delete it with its trials; the models and their scores stay."""
    row = state.get(search_id)
    stop(search_id)
    with transaction() as opened:
        opened.execute(delete(Search).where(Search.id == search_id))
    storage.delete(settings.database_url(), [row.storage, row.storage + OUTSIDE])


def _start(search_id: int, known: dict[str, ModelRow], device: str) -> str:
    """Queue what is left of a search."""
    row = state.get(search_id)
    design = state.design_of(row)
    asked = check_suite(design, models.domains(known, design))
    group = uuid.uuid4().hex[:12]
    n_lanes, narrow = lanes(known.values(), max(1, design.trials), device)
    with state.trials(row) as trials:
        running = row.group is not None and api.open_jobs(row.group)
        if not running:  # what a process left that was killed
            trials.recover()
        trials.enter_known()
    choose, _ = scoring.parts(design)
    needs = [
        scoring.submit(one, design, asked, choose, group=group, device=device, narrow=narrow)
        for one in recipes.distinct(known)
    ]
    common = {
        "search_id": search_id,
        "search_created": row.created,
        "suite": asked.suite.ref,
        "suite_name": asked.suite.name,
        "device": device,
        "data_dir": str(data_folder()),
        "narrow": narrow,
    }
    after = [job for job in needs if job is not None]
    for lane in range(n_lanes):
        part = f" ({lane + 1} of {n_lanes})" if n_lanes > 1 else ""
        after.append(_queue(group, f"{design.name}: trials{part}",
                            {**common, "lane": lane, "lanes": n_lanes}, MOST_DEATHS))  # fmt: skip
    _queue(group, f"{design.name}: the best on held-out items", {**common, "choose": True}, 3,
           after)  # fmt: skip
    with transaction() as opened:
        opened.get_one(Search, search_id).group = group
    return group


def _queue(
    group: str, title: str, spec: dict[str, object], deaths: int, needs: list[int] | None = None
) -> int:
    job = Job(kind="search", title=title, spec=spec, group=group, max_attempts=deaths)
    with transaction() as opened:
        return queue.add(opened, job, needs or ())


def check_kept(before: SearchDesign, now: SearchDesign) -> None:
    """Trials of one search must stay comparable.

    Raises:
        SearchError: naming what has changed.
    """
    was, new = before.to_mapping(), now.to_mapping()
    for name in KEPT:
        if was.get(name) != new.get(name):
            raise SearchError(
                f"The search {now.name} is there already with another {name}, so its trials could "
                "not be compared with new ones. Give this one another name."
            )


def recipe_of(search_id: int, ref: str) -> str:
    """The recipe of a trial as YAML, tied to its parents' content.

    Raises:
        SearchError: there is no such search or trial.
    """
    row = state.get(search_id)
    return recipe_in(row, ref)


def recipe_in(row: SearchRow, ref: str) -> str:
    """The same of a row."""
    from search.space import SearchSpace

    design = state.design_of(row)
    found = state.load(row.id).trial(ref)
    if found is None:
        raise SearchError(f"The search {row.name} has no trial {ref}.")
    return SearchSpace(design).merge(found.params, found.scale).to_yaml()


def materialise(search_id: int, ref: str, name: str | None = None) -> str:
    """Merge a trial into a folder and score it, with its parents, on the held-out items.

    Args:
        search_id: of the search.
        ref: of the trial.
        name: of the merge in the registry; default from the search and the trial.

    Returns:
        The group of jobs.

    Raises:
        SearchError: there is no such trial.
        RecipeError, ModelError, JobError: it cannot be merged now.
    """
    row = state.get(search_id)
    design = state.design_of(row)
    _, report = scoring.parts(design)
    return api.merge_and_benchmark(
        recipe_in(row, ref), name=name or f"{design.name}-{ref}", suite=design.suite,
        limit=design.limit, part=report,
    )  # fmt: skip
