"""Gain and Outperform Gap, computed by hand."""

from __future__ import annotations

import pytest

from evaluation.statistics.gain import gain, macro_gain, macro_outperform_gap, outperform_gap

MERGE = {"a": 0.70, "b": 0.40}
FINANCE = {"a": 0.60, "b": 0.50}
MATH = {"a": 0.40, "b": 0.10}


def test_one_task() -> None:
    assert gain(0.70, [0.60, 0.40]) == pytest.approx(0.20)
    assert outperform_gap(0.70, [0.60, 0.40]) == pytest.approx(0.10)
    assert outperform_gap(0.40, [0.50, 0.10]) == pytest.approx(-0.10)


def test_one_constituent_makes_both_the_same() -> None:
    assert gain(0.5, [0.3]) == outperform_gap(0.5, [0.3])


def test_macro_means_count_each_task_once() -> None:
    assert macro_gain(MERGE, [FINANCE, MATH]) == pytest.approx((0.20 + 0.10) / 2)
    assert macro_outperform_gap(MERGE, [FINANCE, MATH]) == pytest.approx((0.10 - 0.10) / 2)


def test_the_best_constituent_is_chosen_per_task() -> None:
    assert macro_outperform_gap({"a": 0.5, "b": 0.5}, [{"a": 1, "b": 0}, {"a": 0, "b": 1}]) == -0.5


def test_more_tasks_of_a_constituent_are_ignored() -> None:
    assert macro_gain({"a": 0.7}, [FINANCE]) == pytest.approx(0.1)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one constituent"):
        gain(0.5, [])
    with pytest.raises(ValueError, match="at least one constituent"):
        macro_outperform_gap(MERGE, [])
    with pytest.raises(ValueError, match="no score on 'b'"):
        macro_gain(MERGE, [{"a": 0.1}])
    with pytest.raises(ValueError, match="at least one task"):
        macro_gain({}, [FINANCE])
