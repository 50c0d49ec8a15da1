"""Gain and OG by hand and against the item-by-item statistics of `evaluation`."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from evaluation.statistics import uncertainty
from evaluation.statistics.gain import gain, outperform_gap
from evaluation.statistics.uncertainty import paired_difference
from studies.analysis.gains import gains
from studies.analysis.intervals import contrast, fieller, holm, mcnemar, moments
from tests.studies import made
from tests.studies.world import finite, world

ONE = [{"method": "task_arithmetic", "grid": {"scale": [1.0]}}]
#              search | reported
HELD = [False] * 4 + [True] * 4
TABLE: dict[str, dict[str, list[float]]] = {
    "base":           {"t": [0, 0, 0, 0, 0, 0, 0, 1], "u": [1, 0, 1, 0]},
    "finance":        {"t": [1, 1, 1, 0, 0, 0, 0, 1], "u": [0, 0, 0, 1]},
    "math":           {"t": [0, 0, 0, 0, 1, 1, 1, 0], "u": [0, 0, 0, 0]},
    "1 finance":      {"t": [1, 0, 0, 0, 1, 1, 0, 1], "u": [1, 1, 1, 1]},
    "1 math":         {"t": [0, 0, 0, 0, 0, 0, 0, 0], "u": [0, 0, 0, 0]},
    "2 finance+math": {"t": [1, 1, 1, 1, 1, 1, 1, 1], "u": [1, 0, 0, 0]},
}  # fmt: skip


def small(**more: Any) -> Any:
    design = made.design(("finance", "math"), methods=ONE)
    tasks = [made.task("t", 8, held_out=HELD), made.task("u", 4)]
    return made.results(design, tasks, made.of_table(TABLE), **more)


def test_gain_and_og_by_hand() -> None:
    found = gains(small())
    assert found.best_chosen_on == "search"
    i = [one.point.stage for one in found.points if one.point].index("2")
    assert found.constituents[i] == ("finance", "math")
    # reported items of t: finance 1/4, math 3/4, merge 4/4; on the search items finance is best
    assert found.gain.value[i, 0] == pytest.approx(1 - (0.25 + 0.75) / 2)
    assert found.gap.value[i, 0] == pytest.approx(1 - 0.25)
    assert found.gap_same[i, 0] == pytest.approx(1 - 0.75)
    assert found.best[i, 0] == 0
    # u has no split: finance 1/4, math 0, merge 1/4
    assert found.gain.value[i, 1] == pytest.approx(0.25 - 0.125)
    assert found.gap.value[i, 1] == pytest.approx(0.0)
    assert found.macro_gain.value[i] == pytest.approx((0.5 + 0.125) / 2)
    assert found.macro_gap.value[i] == pytest.approx((0.75 + 0.0) / 2)
    # lead: finance is best on the search items over both tasks (3/4 and 1/4)
    assert found.lead.value[i] == pytest.approx((0.75 + 0.0) / 2)
    first = [one.label.startswith("base + finance") for one in found.points].index(True)
    assert found.constituents[first] == ("base", "finance")  # stage 1: the base counts


def test_intervals_are_those_of_the_comparison_page() -> None:
    """The same Bonett-Price interval and exact McNemar as one comparison at a time."""
    results = world(n=40, per_domain=1, split=False)
    found = gains(results)
    for i in (0, 20, 50):
        for j, task in enumerate(results.tasks):
            theirs = results.model(found.constituents[i][found.best[i, j]])
            assert theirs is not None
            mine = found.points[i].items[task.name]
            one = paired_difference(mine, theirs.items[task.name])
            assert found.gap.value[i, j] == pytest.approx(one.difference, abs=1e-6)
            assert found.gap.low[i, j] == pytest.approx(one.low, abs=1e-6)
            assert found.gap.high[i, j] == pytest.approx(one.high, abs=1e-6)
            assert found.gap.p[i, j] == pytest.approx(one.p, abs=1e-9)
            scores = [results.score(key, task.name) or 0.0 for key in found.constituents[i]]
            score = results.score(found.points[i], task.name) or 0.0
            assert found.gain.value[i, j] == pytest.approx(gain(score, scores), abs=1e-6)
            assert found.gap_same[i, j] == pytest.approx(outperform_gap(score, scores), abs=1e-6)


def test_picking_the_best_parent_on_the_same_items_flatters_it() -> None:
    """Equal models: OG on held-out items is about 0, on the picking items it is below."""
    fair, same = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        task = made.task("t", 60, held_out=rng.random(60) < 0.5)
        results = made.results(made.design(), [task], lambda *_: rng.random(60) < 0.5,  # noqa: B023
                               stages=["3"])  # fmt: skip
        found = gains(results)
        fair.append(found.gap.value[:, 0].mean())
        same.append(found.gap_same[:, 0].mean())
    error = np.std(fair, ddof=1) / np.sqrt(len(fair))
    assert abs(np.mean(fair)) < 3 * error
    assert np.mean(same) < -3 * error


def test_macro_interval_covers_as_it_says() -> None:
    """Parents and merge of equal worth: the 95 % interval of Macro-Gain holds 0 in 95 %."""
    held = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        tasks = [made.task(name, n) for name, n in (("t", 30), ("u", 80))]
        results = made.results(made.design(("a", "b"), methods=ONE), tasks,
                               lambda k, p, t: rng.random(t.n) < 0.4, stages=["2"])  # fmt: skip  # noqa: B023
        found = gains(results).macro_gain
        held.append(bool(found.low[0] <= 0 <= found.high[0]))
    assert 0.88 <= np.mean(held) <= 1.0


def test_correction_is_over_what_is_shown() -> None:
    found = gains(world(n=60, per_domain=1))
    part = found.shown(range(5), [0, 2])
    assert part.gain.value.shape == (5, 2)
    expected = uncertainty.holm(part.gain.p.ravel().tolist())
    assert part.gain.holm.ravel() == pytest.approx(expected)
    assert (part.gain.holm <= found.gain.holm[:5][:, [0, 2]] + 1e-12).all()
    assert part.macro_gain.value.tolist() == found.macro_gain.value[:5].tolist()


@given(st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), max_size=12))
def test_holm_is_that_of_one_list(p: list[float]) -> None:
    known = [one for one in p if one == one]
    expected = iter(uncertainty.holm(known))
    found = holm(p)
    for before, after in zip(p, found, strict=True):
        assert after == pytest.approx(next(expected)) if before == before else np.isnan(after)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_test(b: int, c: int) -> None:
    expected = binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert float(mcnemar(b, c)) == pytest.approx(expected)


@settings(max_examples=40)
@given(
    above=st.floats(-1, 2), below=st.floats(0.3, 2), corr=st.floats(-0.9, 0.9),
    sd=st.floats(0.01, 0.1),
)  # fmt: skip
def test_fieller_ends_are_where_the_test_turns(
    above: float, below: float, corr: float, sd: float
) -> None:
    """At its ends r, above - r below is 1.96 sd from zero; that is what defines the interval."""
    cov = corr * sd * sd
    found = fieller(above, below, sd**2, sd**2, cov)
    assert found is not None and found.low <= found.value <= found.high
    for r in (found.low, found.high):
        z = (above - r * below) / np.sqrt(sd**2 * (1 + r * r) - 2 * r * cov)
        assert abs(z) == pytest.approx(norm.ppf(0.975), rel=1e-4)


def test_fieller_has_nothing_to_say_where_the_denominator_may_be_zero() -> None:
    assert fieller(0.5, 0.19, 0.01, 0.01, 0.0) is None
    assert fieller(0.5, -1.0, 0.01, 0.01, 0.0) is None


def test_moments_are_the_mean_of_tasks_with_stratified_errors() -> None:
    results = small()
    row = results.row
    pair = next(one for one in results.points if one.point and one.point.stage == "2")
    found = moments(results, contrast(results, [row[pair.key]], [row["finance"], row["math"]]))
    assert found.values[0] == pytest.approx((0.5 + 0.125) / 2)
    t = np.array([1, 1, 1, 1]) - np.array([0.5, 0.5, 0.5, 0.5])
    u = np.array([1, 0, 0, 0]) - np.array([0, 0, 0, 0.5])
    variance = sum(((d @ d + 2) / 6 - (d.sum() / 6) ** 2) / 6 for d in (t, u)) / 4
    assert found.covariance[0, 0] == pytest.approx(variance)


def test_a_merge_whose_parent_is_not_scored_is_skipped() -> None:
    table = {key: value for key, value in TABLE.items() if key != "math"}
    design = made.design(("finance", "math"), methods=ONE)
    tasks = [made.task("t", 8), made.task("u", 4)]
    found = gains(made.results(design, tasks, made.of_table(table)))
    assert len(found.points) == 1
    assert sorted(found.skipped.values()) == ["not scored: math", "not scored: math"]


def test_a_task_that_a_merge_lacks_leaves_its_macro_open() -> None:
    table = {key: dict(value) for key, value in TABLE.items()}
    del table["2 finance+math"]["u"]
    design = made.design(("finance", "math"), methods=ONE)
    found = gains(made.results(design, [made.task("t", 8), made.task("u", 4)],
                               made.of_table(table)))  # fmt: skip
    i = [one.point.stage for one in found.points if one.point].index("2")
    assert np.isnan(found.gain.value[i, 1]) and np.isnan(found.macro_gain.value[i])
    assert np.isfinite(found.gain.value[i, 0])
    assert found.best[i, 1] == 0  # the parents have it


def test_lower_is_better_turns_the_gain_and_stays_out_of_the_mean() -> None:
    table = {key: {"t": value["t"], "e": [2.0, 3.0]} for key, value in TABLE.items()}
    table["2 finance+math"]["e"] = [1.0, 2.0]
    design = made.design(("finance", "math"), methods=ONE)
    error = made.task("e", 2, higher_is_better=False, binary=False, metric="perplexity")
    tasks = [made.task("t", 8), error]
    results = made.results(design, tasks, made.of_table(table))
    found = gains(results)
    i = [one.point.stage for one in found.points if one.point].index("2")
    assert found.gain.value[i, 1] == pytest.approx(1.0)
    assert results.shared.tolist() == [True, False]
    assert found.macro_gain.value[i] == pytest.approx(found.gain.value[i, 0])


def test_everything_is_strict_json() -> None:
    found = gains(world(n=12, per_domain=1, split=False))
    assert finite(found.data())
    json.dumps(found.data(), allow_nan=False)
    assert len(found.table()) == len(found.points) * len(found.tasks)


def test_an_empty_study_has_no_gains() -> None:
    results = made.results(made.design(), [made.task("t", 4)], lambda *_: None, some=[])
    assert gains(results).table() == []
