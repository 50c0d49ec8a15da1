"""A lane on the shipped models: scores are those of ordinary evaluations, pruned or not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from db import settings
from db.engine import open_database
from evaluation.holdout import Part
from evaluation.run import evaluate, scoring_dtype
from evaluation.suites import load_suite
from merging.checkpoints.checkpoint import Checkpoint
from merging.in_memory import merge_to_model
from search import storage
from search.checks import check_suite
from search.design import SearchDesign
from search.lane import SearchLane
from search.results import SearchResults, read
from search.size import Distance
from search.trials import Trials
from studies.in_place import Bench
from tests.search.small import TASKS, design

SANDBOX = Path(__file__).resolve().parents[2] / "sandbox"
FOLDERS = {f"sandbox/{path.name}": path for path in SANDBOX.iterdir() if path.is_dir()}
PART = Part("search", 1, 0.5)


@pytest.fixture(autouse=True)
def one_thread(home: Path) -> Iterator[None]:
    open_database()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def search(one: SearchDesign, merger: Any = None) -> tuple[SearchResults, list[dict[str, Any]]]:
    asked = check_suite(one)
    bench = merger or Bench(
        FOLDERS, device="cpu", dtype=scoring_dtype(SANDBOX / "base", device="cpu")
    )
    distance = Distance("sandbox/base", FOLDERS)
    with storage.opened(settings.database_url()) as opened:
        trials = Trials(opened, one.name, one)
        trials.enter_known()
        lane = SearchLane(trials, bench, {}, asked.suite, PART, asked.objectives, distance)
        events = list(lane.run())
        return read(trials), events


def alone(scale: float, weight: float, limit: int | None) -> tuple[dict[str, float], float]:
    """Scores and size of change of a merge that is made and scored by itself."""
    recipe = design(space={"options": {"lambda": [scale, 9.0 - 5]}}, grid=[]).recipe
    from merging.recipes.recipe import Recipe

    models = [{"model": "sandbox/finance", "weight": weight}, {"model": "sandbox/math"}]
    merging = merge_to_model(
        Recipe(**{**recipe, "models": models, "options": {"scale": scale}}), FOLDERS, device="cpu"
    )
    while True:
        try:
            next(merging)
        except StopIteration as stop:
            model, tokenizer = stop.value
            break
    model = model.float()
    base = Checkpoint.open(SANDBOX / "base")
    state = model.state_dict()
    with base:
        pairs = [(base.read(name).double(), state[name].double()) for name in base.tensors]
    apart = math.sqrt(sum(float((a - b).square().sum()) for a, b in pairs))
    whole = math.sqrt(sum(float(a.square().sum()) for a, _ in pairs))
    events = evaluate(model, tokenizer, load_suite("sandbox"), tasks=TASKS, limit=limit, part=PART)
    scores = {one["task"]: one["value"] for one in events if one["kind"] == "score"}
    return scores, apart / whole


def test_a_trial_scores_as_its_merge_does_alone() -> None:
    found, events = search(design(trials=2, grid=[0.4]))
    assert events[-1]["n_trials"] == 2
    for one in found.trials:
        assert one.state == "done"
        weight = one.params["weight sandbox/finance"]
        five = float(f"{one.params['scale']:.5g}"), float(f"{weight:.5g}")
        scores, change = alone(*five, 12)
        assert dict(one.tasks) == scores
        assert one.values[0] == pytest.approx(sum(scores.values()) / 3)
        assert one.change == pytest.approx(change, rel=1e-4)


def test_pruning_leaves_the_bad_and_scores_the_good_to_their_end() -> None:
    """Whoever goes on scores what it would without pruning; whoever is left, on first items."""
    space = {"options": {"lambda": {"low": 0.2, "high": 4}}}  # most of it is far too much
    common = {"space": space, "trials": 10, "grid": [0.4, 0.8], "limit": 6}
    plain = design(**common)
    pruned = design(**common, name="pruned", prune={"items": 3, "pruner": "median"})
    first, _ = search(plain)
    second, events = search(pruned)
    assert 0 < second.counts()["pruned"] < 8
    assert events[-1]["n_pruned"] == second.counts()["pruned"]
    whole = {one.recipe: one.values for one in first.done}
    for one in second.trials:
        # the same seed asks the same points while all are random, those before the model
        if one.state == "pruned":
            assert list(one.steps) == [3] and one.items == 9 and not one.values
        elif one.recipe in whole:
            assert one.values == whole[one.recipe]
    assert {one.recipe for one in second.done} & set(whole)


def test_the_same_merge_is_scored_once() -> None:
    space = {"options": {"lambda": [0.4]}, "weights": {"sandbox/math": [1.0, 0.5]}}
    found, events = search(design(space=space, trials=7, grid=[0.4], limit=4))
    assert events[-1]["n_reused"] == 5
    assert sum(one.reused is None for one in found.done) == 2
    by_recipe: dict[Any, set[Any]] = {}
    for one in found.done:
        by_recipe.setdefault(one.recipe, set()).add(one.values)
    assert all(len(values) == 1 for values in by_recipe.values())


def test_trials_that_fail_are_told_and_stop_the_search_at_last() -> None:
    from search.errors import SearchFailure

    class Broken(Bench):
        def merge(self, steps: Any, *, more: bool = False) -> Any:
            raise RuntimeError("no such luck")
            yield

    with pytest.raises(SearchFailure, match="5 trials in a row failed.*no such luck"):
        search(design(trials=9), Broken(FOLDERS, device="cpu"))
