"""What results know of themselves: who was made from whom, parts of the items, shared tasks."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from studies.analysis.chosen import best, picks
from studies.analysis.gains import gains
from studies.analysis.intervals import contrast, moments
from studies.points import Point
from studies.results import Results, Scored, Task, reported_values
from tests.studies import made

SUMS = [{"method": "ties", "grid": {"density": [0.2, 0.8]}}]


def everything() -> Results:
    design = made.design(("a", "b", "c"), methods=SUMS, instruct=True)
    rng = np.random.default_rng(0)
    held = rng.random(40) < 0.5
    tasks = [made.task("t", 40, "a", held_out=held), made.task("g", 40, "general", held_out=held)]
    return made.results(design, tasks, lambda k, p, t: rng.random(t.n) < 0.5)


def of_stage(results: Results, stage: str, *, on: bool = False) -> Point:
    points = [one.point for one in results.points if one.point is not None]
    return next(one for one in points if one.stage == stage and (one.on is not None) is on)


def test_constituents_of_every_stage() -> None:
    results = everything()
    assert results.constituent_keys(of_stage(results, "1")) == ("base", "a")
    assert results.constituent_keys(of_stage(results, "2")) == ("a", "b")
    assert results.constituent_keys(of_stage(results, "3")) == ("a", "b", "c")
    assert results.constituent_keys(of_stage(results, "instruct")) == ("a", "instruct")
    upon = of_stage(results, "instruct", on=True)
    assert results.constituent_keys(upon) == (upon.on, "instruct")
    assert [one.key for one in results.constituents(upon)] == [upon.on, "instruct"]
    assert results.ancestors(upon) == ("base", "a", "b", "instruct", upon.on)
    assert results.ancestors(of_stage(results, "1")) == ("base", "a")
    found = gains(results)
    assert set(found.constituents[[one.key for one in found.points].index(upon.key)]) == {
        upon.on, "instruct",
    }  # fmt: skip


def test_rows_are_parents_first() -> None:
    results = everything()
    assert [one.key for one in results.models[:5]] == ["base", "a", "b", "c", "instruct"]
    assert results.experts == ("a", "b", "c")
    assert results.model("nobody") is None and results.score("nobody", "t") is None
    assert results.macro("nobody") is None


def test_parts_of_the_items_share_nothing() -> None:
    results = everything()
    task, scores = results.tasks[0], results.items("t")[0]
    assert results.has_split
    assert not (task.mask("report") & task.mask("search")).any() and task.mask("all").all()
    for part in ("report", "search", "all"):
        expected = scores[task.mask(part)].mean()  # type: ignore[arg-type]
        assert results.score("base", "t", part) == pytest.approx(expected)  # type: ignore[arg-type]
    assert results.parents["base"].values["t"] == pytest.approx(results.score("base", "t"))


def test_without_a_split_both_parts_are_all_items() -> None:
    results = made.results(made.design(), [made.task("t", 4)], lambda *_: [1, 0, 0, 0])
    assert not results.has_split
    assert results.score("base", "t", "search") == results.score("base", "t") == 0.25


def test_what_is_reported_is_never_chosen_on() -> None:
    """A task with one item, which is held out, while others are split."""
    tasks = [made.task("t", 4, held_out=[True, True, False, False]), made.task("u", 1)]
    results = made.results(made.design(), tasks, lambda k, p, t: np.ones(t.n))
    assert results.score("base", "u", "search") is None
    assert results.score("base", "u") == 1.0
    assert results.macro("base", "search") == 1.0  # over the task that has items to choose on


def test_a_task_that_a_parent_lacks_is_not_shared() -> None:
    def items(key: str, point: Point | None, task: Task) -> Any:
        return None if (key, task.name) == ("a", "u") else [1, 0]

    results = made.results(made.design(("a", "b")), [made.task("t", 2), made.task("u", 2)], items)
    assert results.shared.tolist() == [True, False]
    assert results.macro("base") == 0.5


def test_a_point_that_lacks_a_shared_task_has_no_mean() -> None:
    def items(key: str, point: Point | None, task: Task) -> Any:
        return None if point is not None and task.name == "u" else [1, 0]

    results = made.results(made.design(), [made.task("t", 2), made.task("u", 2)], items)
    assert results.macro(results.points[0]) is None
    assert best(results, results.points) is None and picks(results) == {}


def with_f1() -> Results:
    """A task whose metric is no mean of its items, with standard errors of its own."""
    results = everything()
    first, second = results.tasks
    f1 = dataclasses.replace(second, metric="f1", by_item=False)

    def changed(one: Scored) -> Scored:
        return dataclasses.replace(one, values={**one.values, "g": 0.6 if one.point else 0.4},
                                   stderrs={"g": 0.03})  # fmt: skip

    return dataclasses.replace(
        results, tasks=(first, f1), points=tuple(changed(one) for one in results.points),
        parents={name: changed(one) for name, one in results.parents.items()},
    )  # fmt: skip


def test_a_metric_that_is_no_mean_has_its_value_and_its_own_error() -> None:
    results = with_f1()
    for part in ("report", "search", "all"):
        assert results.score("base", "g", part) == 0.4  # type: ignore[arg-type]
    found = gains(results)
    i = [one.point.stage for one in found.points if one.point].index("2")
    assert found.gain.value[i, 1] == pytest.approx(0.2)
    half = 1.959964 * 0.03 * np.sqrt(1 + 2 / 4)  # the merge's error, and that of a mean of two
    assert found.gain.high[i, 1] == pytest.approx(0.2 + half)
    assert found.gap.high[i, 1] == pytest.approx(0.2 + 1.959964 * 0.03 * np.sqrt(2))
    row = results.row
    only = np.array([False, True])
    one = moments(results, contrast(results, [row["a"]], [row["b"]]), only)
    assert one.covariance[0, 0] == pytest.approx(2 * 0.03**2)


def test_reported_values() -> None:
    task = made.task("t", 4, held_out=[True, True, False, False])
    f1 = dataclasses.replace(made.task("u", 4), by_item=False)
    items = {"t": np.array([1, 0, 1, 1], np.float32), "u": np.zeros(4, np.float32)}
    assert reported_values([task, f1], items, {"t": 0.75, "u": 0.3}) == {"t": 0.5, "u": 0.3}


def test_shares_are_bounded_and_perplexities_are_not() -> None:
    results = everything()
    assert results.bounded
    graded = dataclasses.replace(results.tasks[0], binary=False)
    big = {**results.parents["a"].items, "t": np.full(40, 30.0, np.float32)}
    parents = {**results.parents, "a": dataclasses.replace(results.parents["a"], items=big)}
    other = dataclasses.replace(results, tasks=(graded, results.tasks[1]), parents=parents)
    assert not other.bounded


def test_choosing_on_the_reported_items_has_its_price() -> None:
    results = everything()
    assert {pick.penalty for pick in picks(results, "1").values()} == {1}
    tasks = tuple(dataclasses.replace(one, held_out=np.ones(one.n, bool)) for one in results.tasks)
    plain = picks(dataclasses.replace(results, tasks=tasks), "1")
    assert {pick.penalty for pick in plain.values()} == {2}
    assert next(iter(plain.values())).p(0.7) == 1.0
