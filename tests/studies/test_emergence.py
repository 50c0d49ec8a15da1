"""Emergent items: counted by hand, uniform p-values under noise, planted skills found."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, hypergeom

from studies.analysis import nulls
from studies.analysis.emergence import Emergence, emergence, new_items
from studies.points import Point
from studies.results import Results, Task
from tests.studies import made

DARE = [{"method": "dare_ties", "grid": {"density": [0.2, 0.5, 0.8]}, "seeds": [1, 2, 3]}]


def test_counts_by_hand() -> None:
    """Items 0-5: who is right. Stage 2 merge of finance and math."""
    table = {
        #          0  1  2  3  4  5
        "base":    {"t": [0, 1, 0, 0, 0, 1]},
        "finance": {"t": [0, 0, 1, 0, 0, 1]},
        "math":    {"t": [0, 0, 0, 0, 0, 1]},
        "1 finance": {"t": [0, 0, 0, 1, 0, 1]},
        "1 math":  {"t": [0, 0, 0, 0, 0, 1]},
        "2 finance+math": {"t": [1, 1, 1, 1, 0, 0]},
    }  # fmt: skip
    design = made.design(("finance", "math"), methods=[{"method": "task_arithmetic",
                         "grid": {"scale": [1.0]}}])  # fmt: skip
    results = made.results(design, [made.task("t", 6, chance=0.25)], made.of_table(table))
    found = {one.key: one for one in emergence(results).merges}
    pair = next(one for one in found.values() if one.stage == "2")
    assert pair.count == 3  # items 0, 1, 3: no constituent has them
    assert pair.pool == 3  # items 0, 3, 4: the base has 1
    assert pair.new == pair.tested == 2
    assert pair.n_controls == 2
    (task,) = pair.tasks
    assert task.most_control == 1 and task.p_best == pytest.approx(0.5)  # 0 won, none lost
    assert task.p_chance == pytest.approx(1 - 0.75**3 - 3 * 0.25 * 0.75**2)
    # item 0: T = 1 of 3; item 3: T = 2 of 3; item 4: nobody
    assert task.p_relatives == pytest.approx(1 / 3 * 2 / 3)
    assert task.p == max(task.p_chance, task.p_relatives)
    assert pair.p == pytest.approx(task.p)  # one task: no correction
    assert pair.expected == pytest.approx(0.75)  # chance's 3/4 is above the controls' 1/2
    assert pair.p_redrawn is None and pair.n_redrawn == 0
    rows = new_items(results, pair.key)
    assert [(row["doc_id"], row["controls_right"]) for row in rows] == [(0, 0), (3, 1)]


@given(
    p=st.lists(st.floats(0, 1), min_size=1, max_size=7),
    k=st.integers(0, 8),
)
def test_tail_of_sum_is_that_of_all_outcomes(p: list[float], k: int) -> None:
    expected = 0.0
    for outcome in product((0, 1), repeat=len(p)):
        if sum(outcome) >= k:
            expected += float(np.prod([q if x else 1 - q for q, x in zip(p, outcome, strict=True)]))
    found = nulls.tail_of_sum(np.array([p]), np.array([k]))[0]
    assert found == pytest.approx(expected, abs=1e-9)


def test_tail_of_sum_is_the_binomial_of_scipy() -> None:
    found = nulls.tail_of_sum(np.full((3, 50), 0.3), np.array([10, 20, 51]))
    assert found == pytest.approx(binom.sf([9, 19, 50], 50, 0.3), abs=1e-12)


def test_chance_is_the_binomial_test() -> None:
    found = nulls.by_chance(np.array([0, 7, 30]), 40, 0.25)
    expected = [binomtest(k, 40, 0.25, alternative="greater").pvalue for k in (0, 7, 30)]
    assert found == pytest.approx(expected)
    assert np.isnan(nulls.by_chance(np.array([1]), 40, 0.0)).all()
    assert np.isnan(nulls.by_chance(np.array([1]), 40, None)).all()


def test_one_control_is_the_sign_test() -> None:
    merge, control = np.array([[1, 1, 1, 1, 0, 1]]), np.array([[0, 0, 0, 1, 1, 0]])
    expected = binomtest(4, 5, 0.5, alternative="greater").pvalue  # 4 won, 1 lost, 1 shared
    assert nulls.by_relatives(merge, control)[0] == pytest.approx(expected)


def test_two_redrawn_masks_are_the_hypergeometric_test() -> None:
    a, b = [1, 1, 1, 0, 0, 0, 0, 0, 1], [1, 1, 0, 1, 0, 0, 0, 0, 0]
    shared, expected, p = nulls.by_redrawing([np.array([a, b])], [np.zeros(9, int)])
    assert (shared, expected) == (2, pytest.approx(4 * 3 / 9))
    assert p == pytest.approx(hypergeom.sf(1, 9, 4, 3))


@given(size=st.integers(1, 30), data=st.data())
def test_hypergeometric_is_that_of_scipy(size: int, data: st.DataObject) -> None:
    first, second = data.draw(st.integers(1, size)), data.draw(st.integers(1, size))
    found = nulls._hypergeometric(size, first, second)
    expected = hypergeom.pmf(np.arange(found.size), size, first, second)
    assert found == pytest.approx(expected, abs=1e-9)


def test_sidak() -> None:
    p = np.array([[0.01, 0.5], [np.nan, 0.2], [np.nan, np.nan], [1.0, 1.0]])
    assert nulls.sidak(p) == pytest.approx([1 - 0.99**2, 0.2, np.nan, 1.0], nan_ok=True)


def noise(seed: int, chance: float | None, difficulty: str, planted: float = 0.0) -> Results:
    """Everybody is right with the item's own probability; a pair's merges may know more."""
    rng = np.random.default_rng(seed)
    tasks = [made.task(f"t{i}", 200, chance=chance) for i in range(4)]
    easy = {
        one.name: rng.beta(1, 1, one.n) if difficulty == "varied" else np.full(one.n, 0.25)
        for one in tasks
    }
    skill = {one.name: rng.random(one.n) < planted * (one.name == "t2") for one in tasks}

    def items(key: str, point: Point | None, task: Task) -> Any:
        right = rng.random(task.n) < easy[task.name]
        if point is not None and {"a", "b"} <= set(point.constituents):
            right |= skill[task.name]
        return right

    return made.results(made.design(("a", "b", "c"), methods=DARE), tasks, items)


def p_values(chance: float | None, difficulty: str, times: int = 40) -> dict[str, np.ndarray]:
    """Of one pair's merge in each of many studies without any skill."""
    found: dict[str, list[float | None]] = {"p": [], "relatives": [], "chance": [], "redrawn": []}
    for seed in range(times):
        one = next(m for m in emergence(noise(seed, chance, difficulty)).merges if m.stage == "2")
        found["p"].append(one.p)
        found["redrawn"].append(one.p_redrawn)
        found["relatives"] += [task.p_relatives for task in one.tasks]
        found["chance"] += [task.p_chance for task in one.tasks]
    return {name: np.array([p for p in ps if p is not None]) for name, ps in found.items()}


def about_uniform(p: np.ndarray) -> bool:
    """No oftener below a level than it says (3 sd of slack), and no less than half as often."""
    for level in (0.1, 0.3, 0.6):
        share, sd = float((p <= level).mean()), np.sqrt(level * (1 - level) / p.size)
        if not 0.4 * level - 2 * sd <= share <= level + 3 * sd:
            return False
    return True


def test_noise_of_items_of_all_difficulties_gives_uniform_p_values() -> None:
    found = p_values(None, "varied")
    assert not found["chance"].size
    assert about_uniform(found["relatives"]), found["relatives"]
    assert about_uniform(found["p"]), found["p"]
    assert about_uniform(found["redrawn"]), found["redrawn"]


def test_guessing_gives_uniform_p_values() -> None:
    found = p_values(0.25, "guess")
    assert about_uniform(found["chance"]), found["chance"]
    assert about_uniform(found["relatives"]), found["relatives"]
    # the larger of two is never too small
    assert (found["p"] <= 0.1).mean() <= 0.1 + 3 * np.sqrt(0.09 / found["p"].size)


def test_luck_is_seldom_found() -> None:
    """Holm over 36 merges of each of many studies: 5 % of the studies may have any."""
    studies = [emergence(noise(seed, 0.25, "guess")) for seed in range(24)]
    assert sum(any(one.found for one in study.merges) for study in studies) <= 4


@pytest.mark.parametrize("chance", [0.25, None])
def test_planted_skill_is_found_where_it_is(chance: float | None) -> None:
    study = emergence(noise(3, chance, "guess", planted=0.6))
    pair = [one for one in study.merges if one.stage == "2" and one.label.startswith("a + b")]
    assert len(pair) == 9
    for one in pair:
        assert one.found and one.best_task == "t2"
        assert one.low is not None and one.low > 0
        assert one.p_redrawn is not None and one.p_redrawn < 0.001
    others = [one for one in study.merges if one.stage in "12" and one not in pair]
    assert not any(one.found for one in others)


def test_a_skill_of_one_parent_is_not_emergent() -> None:
    """What the merge has from its parents never counts, whatever its share."""
    rng = np.random.default_rng(0)
    knows = {name: rng.random(200) < 0.5 for name in ("a", "b")}

    def items(key: str, point: Point | None, task: Task) -> Any:
        names = (key,) if point is None else point.constituents
        return np.any([knows.get(name, np.zeros(200, bool)) for name in names], axis=0)

    design = made.design(("a", "b"))
    found = emergence(made.results(design, [made.task("t", 200)], items))
    assert {one.new for one in found.merges} == {0}
    assert {one.count for one in found.merges} == {0}
    assert {one.p for one in found.merges} == {1.0}


def test_luck_with_many_items_at_once_is_not_emergent() -> None:
    """A merge that falls into the format of a task has many items at once, and is not alone."""
    rng = np.random.default_rng(0)

    def items(key: str, point: Point | None, task: Task) -> Any:
        names = set() if point is None else set(point.constituents)
        lucky = names in ({"a", "b"}, {"c"})
        return rng.random(task.n) < (0.3 if lucky else 0.0)

    design = made.design(("a", "b", "c"), stages=["1", "2"])
    found = emergence(made.results(design, [made.task("t", 200, chance=0.0)], items))
    pair = [one for one in found.merges if one.label.startswith("a + b")]
    for one in pair:
        assert one.p_holm is not None and one.p_holm < 0.001  # against base + a and base + b
        assert one.best is not None and one.best.most_control is not None
        assert one.best.most_control > 40 and not one.found  # but base + c has as many


def test_one_sided_mcnemar_is_the_binomial_test() -> None:
    found = nulls.against(np.array([[1, 1, 1, 1, 0], [0, 0, 0, 0, 0]]), np.array([0, 0, 0, 1, 1]))
    assert found == pytest.approx([binomtest(3, 4, alternative="greater").pvalue, 1.0])


def test_correction_goes_over_what_is_shown() -> None:
    study = emergence(noise(3, 0.25, "guess", planted=0.6))
    one = min(study.merges, key=lambda merge: merge.p or 0)
    alone: Emergence = study.shown([one.key])
    assert alone.merges[0].p_holm == one.p
    assert one.p_holm is not None and one.p is not None and one.p_holm > one.p


def test_some_of_the_merges_are_as_they_are_among_all() -> None:
    results = noise(3, 0.25, "guess", planted=0.6)
    keys = [one.key for one in results.points[::7]]
    assert emergence(results, only=keys) == emergence(results).shown(keys)


def test_without_a_null_nothing_is_said() -> None:
    """Freely written answers of a stage-1 merge: no chance level and no controls."""
    rng = np.random.default_rng(0)
    results = made.results(
        made.design(("a", "b"), stages=["1"]),
        [made.task("t", 50, chance=0.0)],
        lambda *_: rng.random(50) < 0.3,
    )
    for one in emergence(results).merges:
        assert one.p is None and one.expected is None and not one.found and one.tested == 0
