"""Curves and robustness by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from studies.analysis.intervals import contrast, moments
from studies.analysis.sensitivity import noise_between, sensitivity
from studies.points import Point
from studies.results import Results, Task
from tests.studies import made
from tests.studies.world import finite, world

METHODS = [
    {"method": "task_arithmetic", "grid": {"scale": [0.5, 1.0, 2.0]}},
    {"method": "dare_ties", "grid": {"density": [0.5], "scale": [0.5, 1.0]}, "seeds": [1, 2]},
]
SCORES = {("a", 0.5): 4, ("a", 1.0): 6, ("a", 2.0): 2, ("b", 0.5): 6, ("b", 1.0): 8, ("b", 2.0): 2}


def small() -> Results:
    """Ten items; the number right is given."""

    def items(key: str, point: Point | None, task: Task) -> Any:
        if point is None:
            right = {"a": 5, "b": 6}.get(key, 3)
        elif point.method == "task_arithmetic":
            right = SCORES[point.constituents[0], float(point.options["scale"])]
        else:
            right = {"a": 4, "b": 8}[point.constituents[0]] + (1 if point.seed == 2 else -1)
        return np.arange(task.n) < right

    design = made.design(("a", "b"), methods=METHODS, stages=["1"], split=None)
    return made.results(design, [made.task("t", 10)], items)


def test_curve_by_hand() -> None:
    found = sensitivity(small())
    curve = next(one for one in found.curves if one.method == "task_arithmetic")
    assert (curve.stage, curve.option, curve.fixed) == ("1", "scale", ())
    assert [place.x for place in curve.places] == [0.5, 1.0, 2.0]
    assert [place.mean for place in curve.places] == pytest.approx([0.5, 0.7, 0.2])
    # trapezoids: 0.6 * 0.5 + 0.45 * 1, over a width of 1.5
    assert curve.area == pytest.approx((0.6 * 0.5 + 0.45 * 1.0) / 1.5)
    first = curve.places[0]
    assert (first.lowest, first.highest, first.n) == (pytest.approx(0.4), pytest.approx(0.6), 2)
    assert first.between_constituents == pytest.approx(np.std([0.4, 0.6], ddof=1))
    assert first.between_seeds is None
    # mean per item: 4 items of 1, 2 of 0.5, 4 of 0
    per_item = [1] * 4 + [0.5] * 2 + [0] * 4
    sampling = np.std(per_item, ddof=1) / np.sqrt(10)
    assert first.sampling == pytest.approx(sampling)
    error = 1.959964 * np.sqrt(sampling**2 + np.var([0.4, 0.6], ddof=1) / 2)
    assert first.high is not None and first.high - first.mean == pytest.approx(error)
    assert dict(found.parents) == pytest.approx({"base": 0.3, "a": 0.5, "b": 0.6})


def test_seeds_have_a_band_of_their_own() -> None:
    curve = next(one for one in sensitivity(small()).curves if one.method == "dare_ties")
    place = curve.places[0]
    assert place.n == 4
    assert place.between_seeds == pytest.approx(np.std([0.3, 0.5], ddof=1))
    assert place.between_constituents == pytest.approx(np.std([0.4, 0.8], ddof=1))


def test_robustness_by_hand() -> None:
    one = next(r for r in sensitivity(small()).robustness if r.method == "task_arithmetic")
    assert (one.n_grid, one.n, one.swept) == (3, 6, ("scale",))
    assert one.best == pytest.approx(0.7) and one.worst == pytest.approx(0.2)
    assert one.spread == pytest.approx(0.5)
    assert one.sd == pytest.approx(np.std([0.5, 0.7, 0.2], ddof=1))
    # above the better of base and expert (0.5 and 0.6): 0.6 of a; 0.8 of b; 0.6 of b is no more
    assert one.beats == pytest.approx(2 / 6)
    assert one.area is not None and one.area_over_best == pytest.approx(one.area - 0.55)


def test_a_second_dimension_makes_more_curves() -> None:
    methods = [{"method": "ties", "grid": {"density": [0.2, 0.5], "scale": [0.5, 1.0, 1.5]}}]
    design = made.design(("a", "b"), methods=methods, stages=["1"])
    results = made.results(design, [made.task("t", 10)], lambda *_: np.arange(10) < 5)
    curves = sensitivity(results).curves
    assert {(one.option, one.fixed): len(one.places) for one in curves} == {
        ("scale", (("density", 0.2),)): 3,
        ("scale", (("density", 0.5),)): 3,
        ("density", (("scale", 0.5),)): 2,
        ("density", (("scale", 1.0),)): 2,
        ("density", (("scale", 1.5),)): 2,
    }


def test_noise_between_equal_options_is_what_the_items_give() -> None:
    """Options that are equal in truth: their sd over the grid is about the noise's."""
    sds, noises = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        methods = [{"method": "task_arithmetic", "grid": {"scale": [0.2, 0.4, 0.6, 0.8, 1.0]}}]
        design = made.design(("a", "b"), methods=methods, stages=["1"])
        results = made.results(design, [made.task("t", 80)], lambda *_: rng.random(80) < 0.5)  # noqa: B023
        one = sensitivity(results).robustness[0]
        assert one.sd is not None and one.noise_sd is not None
        sds.append(one.sd**2)
        noises.append(one.noise_sd**2)
    assert np.mean(sds) == pytest.approx(np.mean(noises), rel=0.25)


def test_noise_of_one_option_is_none() -> None:
    assert noise_between(np.eye(1)) is None
    assert noise_between(np.eye(3)) == pytest.approx(1.0)
    assert noise_between(np.ones((3, 3))) == pytest.approx(0.0)


def test_sampling_error_counts_items_once() -> None:
    """Ten copies of a merge are no more certain than one."""
    results = small()
    rows = [results.row[one.key] for one in results.points[:1]]
    one = moments(results, contrast(results, rows, []), paired=False)
    ten = moments(results, contrast(results, rows * 10, []), paired=False)
    assert ten.covariance[0, 0] == pytest.approx(one.covariance[0, 0])


def test_plain_data_of_a_whole_study_and_of_an_empty_one() -> None:
    found = sensitivity(world(n=12, per_domain=1))
    assert finite(found.data())
    json.dumps(found.data(), allow_nan=False)
    assert {one.stage for one in found.curves} == {"1", "2", "3", "instruct"}
    assert any(one.option == "alpha" for one in found.curves)
    empty = made.results(made.design(), [made.task("t", 4)], lambda *_: None, some=[])
    assert sensitivity(empty).curves == ()
