"""What scores decide: the options that are carried on, and the best merge."""

from __future__ import annotations

import random
from typing import Any

import pytest

from studies.choice import best_merge, best_options, choose
from studies.design import Design
from studies.points import Point, points_of

METHODS = [
    {"method": "task_arithmetic", "grid": {"scale": [0.5, 1.0]}},
    {"method": "dare_ties", "grid": {"density": [0.2, 0.8]}, "seeds": [1, 2]},
]


def design(**values: Any) -> Design:
    given = {
        "name": "n", "base": "b", "experts": {"f": "x", "m": "y", "j": "z"}, "instruct": "i",
        "methods": METHODS, "suite": "sandbox", "carry": "best",
    }  # fmt: skip
    return Design(**{**given, **values})


def scored(made: Design, stage: str, **by_option: float) -> list[tuple[Point, float]]:
    """Every point of a stage; the score is that of its constituents' first letter and options."""
    found = []
    for one in points_of(made, stage):
        value = one.options.get("density", one.options["scale"])
        own = {"f": 0.3, "m": 0.2, "j": 0.1}[one.constituents[0]]
        found.append((one, own + by_option[f"{one.method}_{value:g}".replace(".", "")]))
    return found


WANTED = {"task_arithmetic_05": 0.1, "task_arithmetic_1": 0.2, "dare_ties_02": 0.3,
          "dare_ties_08": 0.25}  # fmt: skip


def test_the_best_options_of_each_method_are_carried() -> None:
    made = design()
    known = scored(made, "1", **WANTED)
    chosen = choose(made, "2", known)
    assert {name: (o.get("density"), o["scale"]) for name, o in chosen.options.items()} == {
        "task_arithmetic": (None, 1.0),
        "dare_ties": (0.2, 1.0),
    }
    assert chosen.best is None
    found = points_of(made, "2", chosen)
    assert len(found) == made.counts()["2"] == 3 + 3 * 2
    assert {one.seed for one in found if one.method == "dare_ties"} == {1, 2}


def test_it_is_the_mean_over_constituents_and_seeds_that_counts() -> None:
    made = design()
    known = [
        # one lucky mask of density 0.8 is the best of all, and its mean is not
        (one, 0.99 if (one.seed, one.constituents, one.options.get("density")) == (1, ("f",), 0.8)
         else 0.7 if one.options.get("density") == 0.2 else 0.5)
        for one in points_of(made, "1")
    ]  # fmt: skip
    # density 0.8: (0.99 + 5 x 0.5) / 6 = 0.58 < 0.7
    assert best_options(known, "1")["dare_ties"]["density"] == 0.2
    best = best_merge(known)
    assert best is not None and (best.seed, best.options["density"]) == (1, 0.8)


def test_options_of_which_a_point_failed_do_not_win_by_it() -> None:
    made = design()
    known = scored(made, "1", **{**WANTED, "task_arithmetic_05": 0.19})
    # without its point on the weakest expert, 0.5 has the higher mean: 0.44 against 0.40
    left = [
        (one, score) for one, score in known
        if not (one.options["scale"] == 0.5 and one.constituents == ("j",))
    ]  # fmt: skip
    assert best_options(left, "1")["task_arithmetic"]["scale"] == 1.0
    # a score that is no number is none
    half = [
        (one, float("nan") if one.options["scale"] == 1.0 and one.constituents == ("j",) else score)
        for one, score in known
    ]
    assert best_options(half, "1")["task_arithmetic"]["scale"] == 0.5


def test_only_the_stage_before_decides() -> None:
    made = design(stages=[1, 2, 3, "instruct"])
    first = scored(made, "1", **WANTED)
    other = design(carry="everywhere")
    second = scored(other, "2", **{**WANTED, "task_arithmetic_05": 0.9})
    assert choose(made, "2", [*first, *second]).options["task_arithmetic"]["scale"] == 1.0
    assert choose(made, "3", [*first, *second]).options["task_arithmetic"]["scale"] == 0.5
    assert choose(made, "1", first).options == {}
    assert choose(other, "2", first).options == {}
    assert choose(made, "3", first).options == {}  # nothing of stage 2 is scored yet


def test_the_best_merge_is_for_the_instruct_stage() -> None:
    made = design(carry="everywhere")
    known = [*scored(made, "1", **WANTED), *scored(made, "2", **{**WANTED, "dare_ties_08": 0.31})]
    chosen = choose(made, "instruct", known)
    assert chosen.best is not None and chosen.best.stage == "2"
    assert chosen.best.constituents[0] == "f" and chosen.best.options["density"] == 0.8
    # points of the instruct stage itself never are
    own = points_of(made, "instruct", chosen)[-1]
    assert choose(made, "instruct", [*known, (own, 5.0)]).best == chosen.best
    assert choose(made, "3", known).best is None
    assert best_merge([]) is None
    assert best_merge([(known[0][0], float("nan"))]) is None


@pytest.mark.parametrize("seed", range(5))
def test_equal_scores_are_decided_alike_whatever_the_order(seed: int) -> None:
    made = design(carry="everywhere")
    known = [(one, 0.5) for stage in ("1", "2", "3") for one in points_of(made, stage)]
    options, best = best_options(known, "2"), best_merge(known)
    random.Random(seed).shuffle(known)
    assert best_options(known, "2") == options
    assert best_merge(known) == best


def test_of_equal_merges_the_one_of_the_fewest_models_is_taken() -> None:
    made = design(carry="everywhere")
    pair = min(points_of(made, "2"), key=lambda one: one.key)
    single = max(points_of(made, "1"), key=lambda one: one.key)
    assert pair.key < single.key
    assert best_merge([(pair, 0.5), (single, 0.5)]) == single
    assert best_merge([(pair, 0.51), (single, 0.5)]) == pair
