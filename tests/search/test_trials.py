"""Trials in Optuna's own tables of our database: as many as asked for, each once, none lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect

from db import settings
from db.engine import open_database, session
from db.tables import Base, Study
from search import storage
from search.design import SearchDesign
from search.results import read
from search.trials import KILLED, Trials
from tests.search.small import DATA, design

FINANCE = "weight sandbox/finance"


@pytest.fixture
def kept(home: Path) -> Iterator[Any]:
    open_database()
    with storage.opened(settings.database_url()) as opened:
        yield opened


def value(params: Any) -> float:
    """A hill at scale 0.8 and weight 0.5."""
    return 1 - (params.get("scale", 0.4) - 0.8) ** 2 - (params.get(FINANCE, 1.0) - 0.5) ** 2


def work(trials: Trials, most: int = 1000) -> int:
    done = 0
    while done < most and (asked := trials.ask()) is not None:
        score = value(asked.params)
        trials.done(asked, [score], {"recipe": asked.recipe.hash, "tasks": {"a": score}})
        done += 1
    return done


def test_optuna_and_our_tables_share_one_database(kept: Any) -> None:
    Trials(kept, "s", design())
    tables = set(inspect(open_database()).get_table_names())
    assert {"studies", "trials", "trial_params"} <= tables  # Optuna's
    assert set(Base.metadata.tables) <= tables
    with session() as opened:
        assert opened.query(Study).all() == []


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "nsga2", "random"])
def test_every_sampler_begins_with_the_known_points(kept: Any, sampler: str) -> None:
    trials = Trials(kept, sampler, design(sampler=sampler, trials=14))
    trials.enter_known()
    trials.enter_known()  # a second press
    assert work(trials) == 14
    found = read(trials, importance=True)
    assert [one.scale for one in found.trials[:2]] == [0.4, 1.0]
    assert [one.origin for one in found.trials].count("grid") == 2
    assert found.counts() == {"done": 14, "pruned": 0, "failed": 0, "running": 0}
    best = found.best()
    assert best is not None
    assert best.values[0] == max(one.values[0] for one in found.done)
    assert set(found.importance[0]) == {"scale", FINANCE}


def test_extending_goes_on(kept: Any) -> None:
    first = Trials(kept, "s", design(trials=5))
    first.enter_known()
    assert work(first) == 5
    assert work(Trials(kept, "s", design(trials=5))) == 0
    assert work(Trials(kept, "s", design(trials=8, sampler="tpe"))) == 3


def test_two_processes_make_no_trial_too_many(kept: Any) -> None:
    one, two = (Trials(kept, "s", design(trials=5), lane) for lane in (0, 1))
    one.enter_known()
    asked = [one.ask(), two.ask(), one.ask(), two.ask()]
    assert len({each.ref for each in asked if each}) == 4
    last = [one.ask(), two.ask()]
    assert [each is None for each in last] == [False, True]
    for each in (*asked, last[0]):
        assert each is not None
        one.done(each, [0.5], {"recipe": each.recipe.hash})
    assert one.count() == {"done": 5, "pruned": 0, "failed": 0, "running": 0}


def test_what_a_killed_process_left_is_asked_again(kept: Any) -> None:
    lane = Trials(kept, "s", design(trials=3))
    lane.enter_known()
    left = lane.ask()
    assert left is not None and left.scale == 0.4
    other = Trials(kept, "s", design(trials=3), lane=1)
    mine = other.ask()
    assert mine is not None
    again = Trials(kept, "s", design(trials=3), lane=0)
    assert again.recover(0) == 1  # not the other's
    assert again.recover(0) == 0
    other.done(mine, [0.5], {})
    refs = []
    while (asked := again.ask()) is not None:
        refs.append((asked.scale, dict(asked.params)))
        again.done(asked, [0.1], {})
    assert (0.4, dict(left.params)) in refs
    assert again.count()["done"] == 3


def test_a_trial_that_kills_its_process_twice_is_left_out(kept: Any) -> None:
    one = design(trials=2, grid=[0.4])
    Trials(kept, "s", one).enter_known()
    for _ in range(2):
        trials = Trials(kept, "s", one)
        asked = trials.ask()
        assert asked is not None and asked.scale == 0.4
        assert trials.recover(0) == 1
    trials = Trials(kept, "s", one)
    assert work(trials) == 2
    found = read(trials)
    assert [t.text for t in found.trials if t.state == "failed"].count(KILLED) == 1
    assert all(t.scale is None for t in found.done)


def test_known_points_outside_of_the_space_are_kept_from_the_sampler(kept: Any) -> None:
    space = {"options": {"lambda": {"low": 0.2, "high": 0.9}}}
    trials = Trials(kept, "s", design(space=space, trials=4, sampler="tpe"))
    trials.enter_known()
    assert work(trials) == 4
    found = read(trials)
    assert [(one.ref, one.scale) for one in found.known] == [("k0", 1.0), ("0", 0.4)]
    outside = found.trial("k0")
    assert outside is not None and outside.params == {}


def test_a_grid_ends_with_its_points_and_resumes(kept: Any) -> None:
    space = {"options": {"lambda": [0.2, 0.4, 0.6]}, "weights": {"sandbox/finance": [0.5, 1.0]}}
    grid = design(space=space, sampler="grid", trials=6)
    trials = Trials(kept, "s", grid)
    trials.enter_known()
    assert work(trials, 3) == 3
    again = Trials(kept, "s", grid)
    again.enter_known()
    assert work(again) == 4  # six points, one known outside of them
    assert again.target_in_all() == 7
    hashes = [one.recipe for one in read(again).trials]
    assert len(set(hashes)) == 7


def test_a_front_of_two_objectives(kept: Any) -> None:
    two = design(objectives=["score", "change"], trials=10, sampler="nsga2")
    trials = Trials(kept, "s", two)
    trials.enter_known()
    while (asked := trials.ask()) is not None:
        scale = asked.params["scale"]
        trials.done(asked, [scale, scale], {"recipe": asked.recipe.hash})
    found = read(trials)
    # more score costs more change: none beats another
    assert len(found.front()) == 10
    assert found.best() == found.front()[0]


def test_other_designs_of_a_space_with_methods(kept: Any) -> None:
    space = {"methods": ["task_arithmetic", "ties"], "options": {"density": [0.2, 0.5]}}
    methods = SearchDesign.from_mapping({**DATA, "space": space, "sampler": "tpe", "trials": 12})
    trials = Trials(kept, "s", methods)
    trials.enter_known()
    assert work(trials) == 12
    params = [one.params for one in read(trials).trials if one.params]
    assert all(("density" in one) == (one["method"] == "ties") for one in params)


def test_removal_leaves_nothing(kept: Any) -> None:
    work(Trials(kept, "s", design()))
    storage.delete(settings.database_url(), ["s", "s (known points)", "never there"])
    assert kept.get_all_studies() == []


def test_postgresql(postgres_database: str) -> None:
    open_database()
    with storage.opened(settings.database_url()) as opened:
        trials = Trials(opened, "s", design(trials=3))
        trials.enter_known()
        assert work(trials) == 3
        assert Trials(opened, "s", design(trials=3)).ask() is None
