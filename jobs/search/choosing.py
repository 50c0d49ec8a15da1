"""The winner, the best known point and the best parent: chosen on search items alone.

What is chosen is then scored on the held-out items, by ordinary evaluations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from db.engine import transaction
from db.queries.models import ModelRow
from db.queries.searches import SearchRow
from db.tables import Search
from jobs.models import recipes
from jobs.search import models, scoring, state
from search.checks import Asked, check_suite
from search.design import SearchDesign
from search.errors import SearchFailure
from search.objectives import value_of
from search.results import SearchResults, Trial
from search.space import SearchSpace

MOST_FRONT = 8  # of several objectives, so many trials that none beats are reported


def choose(row: SearchRow, spec: Mapping[str, Any], group: str) -> dict[str, Any]:
    """Choose, note it with the search, and queue the evaluations on held-out items.

    Args:
        row: of the search.
        spec: of the last job.
        group: that the evaluations belong to.

    Returns:
        What was chosen: `trials` (`ref`, `model_id`, `why`), `parents` (`ref`, `model_id`,
        `value`; the best first).

    Raises:
        SearchFailure: no trial was scored.
    """
    design = state.design_of(row)
    known = models.rows(design)
    asked = check_suite(design, models.domains(known, design))
    results = state.load(row.id)
    winners = winners_of(results)
    if not winners:
        raise SearchFailure("No trial was scored to its end, so there is nothing to choose from.")
    space = SearchSpace(design)
    chosen, rows = [], []
    grid = results.best(results.known)
    for trial, why in [*((one, "best") for one in winners), *([(grid, "grid")] if grid else [])]:
        model = _row_of(space, trial, f"{design.name}-{trial.ref}")
        chosen.append({"ref": trial.ref, "model_id": model.id, "why": why})
        rows.append(model)
    parents = rank_parents(design, asked, known)
    rows += [known[one["ref"]] for one in parents[:1]]
    found = {"trials": chosen, "parents": parents, "tasks": list(asked.tasks),
             "suite": asked.suite.name, "n_trials": results.counts()["done"]}  # fmt: skip
    with transaction() as opened:
        opened.get_one(Search, row.id).chosen = found
    _, report = scoring.parts(design)
    for one in {one.id: one for one in rows}.values():
        scoring.submit(one, design, asked, report, group=group,
                       device=str(spec.get("device", "auto")),
                       narrow=bool(spec.get("narrow")))  # fmt: skip
    return found


def winners_of(results: SearchResults) -> list[Trial]:
    """The best trial; of several objectives those that none beats, thinned to a few."""
    if len(results.design.objectives) == 1:
        best = results.best()
        return [best] if best else []
    front = results.front()
    if len(front) <= MOST_FRONT:
        return front
    # both ends and what lies evenly between
    places = sorted({round(i * (len(front) - 1) / (MOST_FRONT - 1)) for i in range(MOST_FRONT)})
    return [front[place] for place in places]


def rank_parents(
    design: SearchDesign, asked: Asked, known: Mapping[str, ModelRow]
) -> list[dict[str, Any]]:
    """The parents by the deciding objective on the search items, the best first."""
    choose, _ = scoring.parts(design)
    wanted = asked.objectives[design.deciding]
    found = []
    for ref, row in known.items():
        there = scoring.scores(row, design, asked.suite.name, asked.tasks, choose)
        value = value_of(wanted, {task: one.value for task, one in there.items()}, None)
        if value is not None:
            found.append({"ref": ref, "model_id": row.id, "value": value})
    return sorted(found, key=lambda one: -float(str(one["value"])))


def _row_of(space: SearchSpace, trial: Trial, label: str) -> ModelRow:
    """A trial's merge in the registry, without a folder until it is materialised."""
    return recipes.row_of(space.merge(trial.params, trial.scale), label)
