"""Forgetting and recovery by hand, Fieller's coverage, the Pareto front by its definition."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studies.analysis.intervals import fieller
from studies.analysis.pareto import non_dominated, pareto
from studies.analysis.recovery import GENERAL, recovering, recovery
from studies.points import Point
from studies.results import Results, Task
from tests.studies import made
from tests.studies.world import finite, world

GRID = [{"method": "task_arithmetic", "grid": {"scale": [0.5, 0.9, 1.0]}}]


def small(lost: int = 40, n: int = 100) -> Results:
    """The expert goes from 90 to 90 - lost on general items and from 20 to 80 on its own."""

    def items(key: str, point: Point | None, task: Task) -> Any:
        share = 0.0 if key != "a" else 1.0
        if point is not None:
            share = float(point.options["scale"]) if "a" in point.constituents else 0.0
        right = 90 - lost * share if task.domain == "general" else 20 + 60 * share
        return np.arange(task.n) < round(right * task.n / 100)

    design = made.design(("a", "b"), methods=GRID, stages=["1"], split=None)
    return made.results(design, [made.task("g", n, "general"), made.task("d", n, "a")], items)


def test_recovery_by_hand() -> None:
    found = recovery(small())
    lost = found.of("a")
    assert lost is not None and lost.lost == pytest.approx(0.4) and not lost.own
    assert (lost.base, lost.score) == (pytest.approx(0.9), pytest.approx(0.5))
    assert lost.low is not None and lost.low > 0.25 and lost.p_holm is not None
    assert found.of("a", "general") is None  # the same tasks are not told twice
    own = found.of("a", "a")
    assert own is not None and own.own and own.lost == pytest.approx(-0.6)
    halves = [one for one in found.recovered if one.expert == "a" and one.domain == GENERAL]
    assert [one.share for one in halves] == pytest.approx([0.5, 0.1, 0.0])
    assert [one.back for one in halves] == pytest.approx([0.2, 0.04, 0.0])
    assert [one.kept for one in halves] == pytest.approx([0.5, 0.9, 1.0])


def test_the_interval_of_a_share_is_fieller_s_of_its_items() -> None:
    """Merge - expert and base - expert share the expert, so they go up and down together."""
    results = small()
    base, expert = (results.parents[name].items["g"] for name in ("base", "a"))
    merge = next(one for one in results.points if one.point and "a" in one.point.constituents)
    above, below = merge.items["g"] - expert, base - expert
    size = 102
    c = np.array([[x @ y + 2 * (x is y) for y in (above, below)] for x in (above, below)]) / size
    c = (c - np.outer(*[[x.sum() / size for x in (above, below)]] * 2)) / size
    expected = fieller(above.mean(), below.mean(), c[0, 0], c[1, 1], c[0, 1])
    found = next(one for one in recovery(results).recovered if one.key == merge.key)
    assert expected is not None
    assert (found.share_low, found.share_high) == pytest.approx((expected.low, expected.high))
    assert found.share_high is not None and found.share_high < 0.75


def test_a_merge_stands_for_recovery_only_if_it_keeps_its_skill() -> None:
    """At 0.5 more comes back, but half of what was learned is gone; at 1 nothing comes back."""
    results = small()
    pick = recovering(results, "a")
    assert pick is not None and pick.model.point is not None
    assert pick.model.point.options["scale"] == 0.9
    chosen = [one.key for one in recovery(results).recovered if one.chosen and one.expert == "a"]
    assert set(chosen) == {pick.model.key}


def test_a_share_of_nothing_is_undefined() -> None:
    found = recovery(small(lost=2))  # two of a hundred items: within noise
    assert all(one.share is None for one in found.recovered if one.domain == GENERAL)
    lost = found.of("b")
    assert lost is not None and lost.lost == 0 and lost.p == pytest.approx(1.0)


def test_the_share_s_interval_covers() -> None:
    """Truth: the merge brings back half."""
    held = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        level = {"base": 0.9, "a": 0.5}

        def items(key: str, point: Point | None, task: Task) -> Any:
            return rng.random(task.n) < (0.7 if point else level.get(key, 0.9))  # noqa: B023

        design = made.design(("a", "b"), methods=[{"method": "task_arithmetic",
                             "grid": {"scale": [0.5]}}], stages=["1"])  # fmt: skip
        found = recovery(made.results(design, [made.task("g", 120, "general")], items))
        (one,) = [one for one in found.recovered if one.expert == "a" and one.domain == GENERAL]
        assert one.share_low is not None and one.share_high is not None
        held.append(one.share_low <= 0.5 <= one.share_high)
    assert 0.9 <= np.mean(held) <= 1.0


def test_without_a_base_nothing_was_lost() -> None:
    results = small()
    parents = {name: one for name, one in results.parents.items() if name != "base"}
    assert recovery(Results(results.design, results.tasks, parents, results.points)).table() == []


def test_plain_data() -> None:
    for one in (recovery(world(n=12, per_domain=1)), pareto(world(n=12, per_domain=1))):
        assert finite(one.data())
        json.dumps(one.data(), allow_nan=False)


places = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=15)


@given(places)
def test_front_is_what_its_definition_says(some: list[tuple[int, int]]) -> None:
    x = np.array([one[0] for one in some], dtype=float)
    y = np.array([one[1] for one in some], dtype=float)
    found = non_dominated(x, y)
    for i in range(len(some)):
        beaten = any(
            x[j] >= x[i] and y[j] >= y[i] and (x[j] > x[i] or y[j] > y[i])
            for j in range(len(some))
        )  # fmt: skip
        assert found[i] == (not beaten)


def test_pareto_by_hand() -> None:
    results = small()
    found = pareto(results)
    assert (found.n_domain, found.n_general) == (1, 1)
    by_key = {one.key: one for one in found.spots}
    assert (by_key["a"].domain, by_key["a"].general) == (pytest.approx(0.8), pytest.approx(0.5))
    # the base, the two merges between and the expert (which the merge at 1 equals) are the front
    assert by_key["base"].front and by_key["a"].front
    assert by_key["a"].domain_error == pytest.approx(np.std([1] * 80 + [0] * 20, ddof=1) / 10)
    assert [one.general for one in found.front] == sorted(one.general for one in found.front)
    assert pareto(results, "b").spots == ()  # no tasks of that domain
    assert pareto(results, "a").domains == ("a",)


def test_a_suite_without_general_tasks_takes_what_is_no_expert_s() -> None:
    design = made.design(("a", "b"), stages=["1"])
    tasks = [made.task("d", 4, "a"), made.task("other", 4, "else"), made.task("c", 4, "chat")]
    results = made.results(design, tasks, lambda *_: [0, 1, 1, 0])
    assert results.general.tolist() == [False, True, False]
