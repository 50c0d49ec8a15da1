"""Spearman against SciPy and by hand; pairs, not merges, are what is counted."""

from __future__ import annotations

import json
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from studies.analysis.ranks import spearman
from studies.analysis.similarity import similarity
from tests.studies.world import finite, world

numbers = st.lists(st.integers(-5, 5), min_size=3, max_size=7)


def test_by_hand() -> None:
    """d^2 = 0 + 1 + 1 + 0: rho = 1 - 6 * 2 / (4 * 15) = 0.8; 8 of 24 orders have |rho| >= 0.8."""
    found = spearman([1, 2, 3, 4], [10, 30, 20, 40])
    assert found.rho == pytest.approx(0.8)
    assert (found.p, found.how, found.n) == (pytest.approx(8 / 24), "exact", 4)
    assert found.least == pytest.approx(2 / 24)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_exact_p_is_the_share_of_all_orders(data: st.DataObject) -> None:
    x = data.draw(numbers)
    y = data.draw(st.lists(st.integers(-5, 5), min_size=len(x), max_size=len(x)))
    found = spearman(x, y)
    if len(set(x)) < 2 or len(set(y)) < 2:
        assert found.rho is None and found.p is None
        return
    seen = spearmanr(x, y).statistic
    assert found.rho == pytest.approx(seen)
    if len(x) <= 5:
        every = [abs(spearmanr(x, list(order)).statistic) for order in permutations(y)]
        assert found.p == pytest.approx(np.mean(np.array(every) >= abs(seen) - 1e-9))


@pytest.mark.parametrize("n", [12, 40])
def test_t_and_drawn_p_are_those_of_scipy(n: int) -> None:
    rng = np.random.default_rng(n)
    x = rng.normal(size=n)
    y = 0.4 * x + rng.normal(size=n)
    expected = spearmanr(x, y)
    by_t, drawn = spearman(x, y, by_t=True), spearman(x, y)
    assert by_t.rho == drawn.rho == pytest.approx(expected.statistic)
    assert by_t.p == pytest.approx(expected.pvalue)
    assert drawn.how == "drawn" and drawn.p == pytest.approx(expected.pvalue, abs=0.01)


@pytest.mark.parametrize("n", [6, 15])
def test_p_is_uniform_without_a_relation(n: int) -> None:
    rng = np.random.default_rng(1)
    p = [spearman(rng.normal(size=n), rng.normal(size=n)).p or 0.0 for _ in range(200)]
    for level in (0.1, 0.5):
        assert np.mean(np.array(p) <= level) == pytest.approx(level, abs=3.5 * 0.5 / np.sqrt(200))


def test_interval_covers() -> None:
    rng, held = np.random.default_rng(2), []
    for _ in range(300):
        x = rng.normal(size=30)
        found = spearman(x, 0.7 * x + np.sqrt(1 - 0.49) * rng.normal(size=30), by_t=True)
        truth = 6 / np.pi * np.arcsin(0.7 / 2)  # rho of a normal pair with correlation 0.7
        assert found.low is not None and found.high is not None
        held.append(found.low <= truth <= found.high)
    assert 0.91 <= np.mean(held) <= 0.99


def test_perfect_order_is_not_certainty() -> None:
    found = spearman(range(6), range(6))
    assert (found.rho, found.high) == pytest.approx((1.0, 1.0))
    assert found.p == pytest.approx(2 / 720)
    assert found.low is not None and 0.3 < found.low < 0.9
    assert spearman(range(4), range(4)).low is None


def test_nan_is_left_out_and_two_points_have_no_rank_correlation() -> None:
    assert spearman([1, 2, np.nan, 3], [1, 2, 5, 3]).n == 3
    assert spearman([1, 2], [1, 2]).rho is None
    assert spearman([1, 1, 1], [1, 2, 3]).rho is None


def test_three_experts_make_three_pairs_whatever_the_number_of_merges() -> None:
    found = similarity(world(n=20, per_domain=1))
    assert len(found.dots) == 66  # 11 merges of each of three pairs and three experts
    experts = found.test("task_cosine", "macro_gain", "experts")
    assert experts is None or experts.result.n == 3
    l2 = found.test("l2", "macro_gain", "experts")
    assert l2 is not None and l2.result.n == 3
    assert "3 pairs cannot show a correlation" in l2.said and "0.33" in l2.said
    everybody = found.test("l2", "macro_og", "all", "chosen")
    assert everybody is not None and everybody.result.n == 6
    assert sum(one.chosen for one in found.dots) == 6


def test_the_base_has_no_task_vector() -> None:
    found = similarity(world(n=20, per_domain=1))
    with_base = [one for one in found.dots if one.first == "base"]
    assert with_base and all("task_cosine" not in one.measures for one in with_base)
    both = found.test("task_cosine", "macro_gain", "all")
    assert both is not None and both.result.n in (0, 3)


def test_a_pair_stands_at_the_mean_of_its_merges() -> None:
    found = similarity(world(n=30, per_domain=1))
    test = found.test("l2", "macro_gain", "all", "mean")
    assert test is not None
    pairs: dict[tuple[str, str], list[float]] = {}
    for one in found.dots:
        assert one.macro_gain is not None
        pairs.setdefault((one.first, one.second), []).append(one.macro_gain)
    x = [next(d.measures["l2"] for d in found.dots if (d.first, d.second) == pair)
         for pair in pairs]  # fmt: skip
    expected = spearmanr(x, [np.mean(values) for values in pairs.values()]).statistic
    assert test.result.rho == pytest.approx(expected)


def test_plain_data() -> None:
    found = similarity(world(n=12, per_domain=1))
    assert finite(found.data())
    json.dumps(found.data(), allow_nan=False)
