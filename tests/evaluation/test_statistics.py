"""Statistics against scipy, closed forms and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from evaluation.statistics import uncertainty as st

RNG = np.random.default_rng(3)


def test_standard_error_is_scipys() -> None:
    values = RNG.normal(size=50)
    assert st.standard_error(values) == pytest.approx(stats.sem(values))


@pytest.mark.parametrize("values", [[], [1.0]])
def test_standard_error_needs_two_items(values: list[float]) -> None:
    assert st.standard_error(values) is None


def test_clustered_error_with_one_item_per_cluster_is_the_plain_one() -> None:
    values = RNG.normal(size=30)
    assert st.standard_error(values, clusters=range(30)) == pytest.approx(stats.sem(values))


def test_clustered_error_by_hand() -> None:
    # Clusters (1, 1) and (0, 0): deviations sum to +1 and -1, sqrt(2/1 * (1 + 1)) / 4 = 0.5.
    assert st.standard_error([1, 1, 0, 0], clusters="aabb") == pytest.approx(0.5)
    assert st.standard_error([1, 0], clusters="aa") is None
    with pytest.raises(ValueError, match="3 cluster names"):
        st.standard_error([1, 0], clusters="aab")


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (5, 10), (37, 200), (1, 1)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_is_scipys(k: int, n: int, confidence: float) -> None:
    theirs = stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert st.wilson(k, n, confidence) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize(("k", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_what_is_no_proportion(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="not a proportion"):
        st.wilson(k, n)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (5, 5), (10, 2), (40, 61), (900, 1000)])
def test_mcnemar_is_the_binomial_test(b: int, c: int) -> None:
    expected = stats.binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert st.mcnemar(b, c) == pytest.approx(expected, rel=1e-9)
    assert st.mcnemar(b, c) == st.mcnemar(c, b)


def test_mcnemar_refuses_negative_counts() -> None:
    with pytest.raises(ValueError, match="negative"):
        st.mcnemar(-1, 3)


def test_paired_bootstrap_is_close_to_the_t_interval() -> None:
    a, b = RNG.normal(0.3, 1, 300), RNG.normal(0, 1, 300)
    ours = st.paired_bootstrap(a, b, seed=1)
    theirs = stats.ttest_rel(a, b)
    interval = theirs.confidence_interval()
    assert ours.difference == pytest.approx((a - b).mean())
    assert ours.low == pytest.approx(interval.low, abs=0.02)
    assert ours.high == pytest.approx(interval.high, abs=0.02)
    assert ours.p == pytest.approx(theirs.pvalue, abs=0.01)
    assert st.paired_bootstrap(a, b, seed=1) == ours
    assert st.paired_bootstrap(a, b, seed=2) != ours


def test_paired_bootstrap_of_equal_models_finds_nothing() -> None:
    a = RNG.normal(size=40)
    assert st.paired_bootstrap(a, a) == (0, 0, 0, 1)


def test_bootstrap_of_few_distinct_scores_has_the_right_spread() -> None:
    """The multinomial shortcut draws from the same distribution as drawing items."""
    values = np.array([0.0] * 30 + [0.5] * 50 + [1.0] * 20)
    means = st._resampled_means(values, np.random.default_rng(0), 20_000)
    assert means.mean() == pytest.approx(values.mean(), abs=0.002)
    assert means.std() == pytest.approx(values.std() / 10, rel=0.03)


def test_paired_difference_of_right_and_wrong_is_mcnemar() -> None:
    a = [1] * 12 + [0] * 3 + [1] * 20 + [0] * 15
    b = [0] * 12 + [1] * 3 + [1] * 20 + [0] * 15
    found = st.paired_difference(a, b)
    assert found.difference == pytest.approx(9 / 50)
    assert found.p == pytest.approx(stats.binomtest(12, 15).pvalue)
    # Bonett and Price by hand: (13 - 4) / 52 -/+ 1.96 sqrt((17/52 - (9/52)^2) / 52)
    half = 1.959964 * math.sqrt((17 / 52 - (9 / 52) ** 2) / 52)
    assert (found.low, found.high) == pytest.approx((9 / 52 - half, 9 / 52 + half), abs=1e-6)


def test_paired_difference_of_other_scores_is_the_bootstrap() -> None:
    a, b = [0.5, 1, 0.2, 0.9], [0.1, 1, 0.3, 0.2]
    assert st.paired_difference(a, b, seed=4) == st.paired_bootstrap(a, b, seed=4)


def test_the_interval_covers_what_it_promises() -> None:
    """95 % intervals for a paired difference hold the truth in about 95 % of experiments."""
    rng = np.random.default_rng(9)
    truth, hits = 0.1, 0
    for _ in range(400):
        shared = rng.random(80)
        a, b = (shared < 0.6).astype(int), (shared + rng.normal(0, 0.02, 80) < 0.5).astype(int)
        found = st.paired_difference(a, b)
        hits += found.low <= truth <= found.high
    assert hits / 400 > 0.92


@pytest.mark.parametrize(("a", "b"), [([1], [1, 0]), ([], [])])
def test_paired_scores_must_fit(a: list[float], b: list[float]) -> None:
    with pytest.raises(ValueError, match="equal length|no items"):
        st.paired_difference(a, b)


def test_holm_by_hand_and_against_scipys_bonferroni_bound() -> None:
    assert st.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert st.holm([]) == []
    assert st.holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    p = RNG.random(20) / 20
    adjusted = st.holm(list(p))
    assert all(low <= value <= min(1, low * 20) for low, value in zip(p, adjusted, strict=True))


def test_macro() -> None:
    assert st.macro([0.2, 0.4]) == (pytest.approx(0.3), None)
    assert st.macro([0.2, 0.4], [0.03, 0.04]) == pytest.approx((0.3, 0.025))
    assert st.macro([0.2, 0.4], [0.03, None]).stderr is None
    with pytest.raises(ValueError, match="at least one task"):
        st.macro([])
    with pytest.raises(ValueError, match="1 standard errors"):
        st.macro([0.1, 0.2], [0.1])


def test_macro_bootstrap_agrees_with_the_formula() -> None:
    tasks = {"a": RNG.random(200), "b": RNG.random(50).round()}
    low, high = st.macro_bootstrap(tasks)
    errors = [st.standard_error(values) for values in tasks.values()]
    mean, stderr = st.macro([float(np.mean(values)) for values in tasks.values()], errors)
    assert stderr is not None
    assert (low + high) / 2 == pytest.approx(mean, abs=0.005)
    assert (high - low) / 2 == pytest.approx(1.96 * stderr, rel=0.05)
    with pytest.raises(ValueError, match="at least one task"):
        st.macro_bootstrap({})
    with pytest.raises(ValueError, match="'a' has no items"):
        st.macro_bootstrap({"a": []})


@pytest.mark.parametrize(("n", "rho", "points"), [(38, 0, 32), (200, 0, 14), (200, 0.35, 11)])
def test_minimum_detectable_difference(n: int, rho: float, points: int) -> None:
    found = st.minimum_detectable_difference(n, correlation=rho)
    assert round(100 * found) == points
    with pytest.raises(ValueError, match="at least one item"):
        st.minimum_detectable_difference(0)
