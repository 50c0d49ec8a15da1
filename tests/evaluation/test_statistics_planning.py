"""What a run can tell, before it starts, and what the best of many owes to luck."""

from __future__ import annotations

from math import sqrt
from pathlib import Path

import numpy as np
import pytest

from evaluation.statistics.planning import CORRELATION, FEWEST, detectable, plan
from evaluation.statistics.selection import selection_bias
from evaluation.statistics.uncertainty import minimum_detectable_difference
from evaluation.suites import load_suite
from evaluation.suites.item_counts import item_counts


def test_two_hundred_items_tell_eleven_points() -> None:
    # (1.960 + 0.842) * sqrt(2 * 0.25 * 0.65 / 200)
    assert detectable(200) == pytest.approx(0.1129, abs=1e-4)


def test_the_mean_over_tasks_is_known_better_than_each() -> None:
    made = plan({"a": 100, "b": 400, "c": None})
    parts = [minimum_detectable_difference(n, correlation=CORRELATION) for n in (100, 400)]
    assert made.mean == pytest.approx(sqrt(parts[0] ** 2 + parts[1] ** 2) / 2)
    assert made.tasks == {"a": pytest.approx(parts[0]), "b": pytest.approx(parts[1])}
    assert (made.unknown, made.fewest) == (("c",), 100)


@pytest.mark.parametrize("n", range(1, FEWEST))
def test_too_few_items_tell_nothing(n: int) -> None:
    assert detectable(n) is None
    assert plan({"a": n}).mean is None
    assert plan({}).mean is None


def test_the_power_is_what_it_says() -> None:
    """Two models as far apart as said are told apart in about 80 % of simulated runs."""
    from evaluation.statistics.uncertainty import mcnemar

    n, rng = 200, np.random.default_rng(1)
    d = detectable(n)
    assert d is not None
    # P(both right) that gives the assumed correlation between right-or-wrong scores
    p, q = 0.5 + d / 2, 0.5 - d / 2
    both = p * q + CORRELATION * sqrt(p * (1 - p) * q * (1 - q))
    draws = rng.multinomial(n, [p - both, q - both, both, 1 - p - q + both], size=2000)
    found = np.mean([mcnemar(int(b), int(c)) < 0.05 for b, c, *_ in draws])
    assert 0.72 < found < 0.86  # the exact test is a little careful


def test_sandbox_items_are_counted_without_lm_eval(suite_folder: Path) -> None:
    counts = item_counts(load_suite("sandbox"))
    assert all(n and n >= 10 for n in counts.values())
    tiny = load_suite(suite_folder / "tiny.yaml")
    assert item_counts(tiny) == {"pick": 4, "free": 3, "word": 3, "rolling": 3}
    (suite_folder / "tasks" / "free.jsonl").unlink()
    assert item_counts(load_suite(suite_folder / "tiny.yaml"))["free"] is None


def test_the_best_of_equal_models_is_flattered_by_the_expected_maximum() -> None:
    """k models of equal skill: the maximum of k normal errors stands this far above."""
    rng = np.random.default_rng(0)
    n, k = 400, 10
    expected = 1.5388 * sqrt(0.25 / n)  # E[max of 10 standard normals] * standard error
    biases, excess = [], []
    for _ in range(40):
        scores = (rng.random((k, n)) < 0.5).astype(float)
        found = selection_bias({"t": scores}, draws=300)
        biases.append(found.bias)
        excess.append(found.score - 0.5)
    assert np.mean(excess) == pytest.approx(expected, rel=0.15)
    # The bootstrap takes the models' own spread for skill, and so says at most that, and over half.
    assert 0.5 * expected < np.mean(biases) < 1.1 * expected


def test_a_clear_winner_is_hardly_flattered() -> None:
    rng = np.random.default_rng(0)
    scores = (rng.random((5, 300)) < np.array([[0.9], [0.5], [0.5], [0.4], [0.3]])).astype(float)
    found = selection_bias({"t": scores})
    assert (found.best, found.models, found.items) == (0, 5, 300)
    assert found.bias < 0.002


def test_models_that_answer_alike_share_their_luck() -> None:
    one = (np.random.default_rng(0).random(200) < 0.5).astype(float)
    assert selection_bias({"t": np.stack([one] * 6)}).bias == pytest.approx(0, abs=0.004)
    assert selection_bias({"t": one[None]}).bias == 0.0


def test_nonsense_is_refused() -> None:
    for tasks in ({}, {"t": np.zeros((0, 3))}, {"a": np.zeros((2, 3)), "b": np.zeros((3, 3))}):
        with pytest.raises(ValueError):
            selection_bias(tasks)
