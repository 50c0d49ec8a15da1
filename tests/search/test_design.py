"""Designs of searches: what they mean, and one sentence for each thing that is wrong with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.checks import check_items, check_suite, parts
from search.design import SearchDesign
from search.errors import SearchError
from search.ranges import Range
from search.space import SearchSpace
from tests.search.small import DATA, design

PROJECT = Path(__file__).resolve().parents[2]
SHIPPED = sorted((PROJECT / "recipes" / "searches").glob("*.yaml"))
FINANCE, MATH = "sandbox/finance", "sandbox/math"
CATEGORY = {"methods": ["task_arithmetic", "ties"],
            "options": {"lambda": {"low": 0.2, "high": 1.2},
                        "density": {"low": 0.1, "high": 0.9}}}  # fmt: skip


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_shipped_designs_survive_their_text(path: Path) -> None:
    one = SearchDesign.from_yaml(path.read_bytes())
    assert SearchDesign.from_yaml(one.to_yaml()) == one
    check_suite(one)
    space = SearchSpace(one)
    assert all(space.params_of(scale) is not None for scale in one.grid)


def test_options_of_the_other_method_are_not_asked_for() -> None:
    space = SearchSpace(design(space=CATEGORY))
    assert [one.name for one in space.active("task_arithmetic")] == ["scale"]
    assert [one.name for one in space.active("ties")] == ["scale", "density"]
    recipe = space.recipe({"method": "ties", "scale": 0.7, "density": 0.123456789})
    assert recipe.method == "ties"
    assert recipe.options["density"] == 0.12346  # five digits
    assert space.recipe({"method": "task_arithmetic", "scale": 0.7}).options["scale"] == 0.7


def test_a_gradient_and_groups_of_tensors() -> None:
    weights = {FINANCE: {"low": 0, "high": 1, "points": 3},
               MATH: {"low": 0, "high": 1, "groups": ["mlp"]}}  # fmt: skip
    space = SearchSpace(design(space={"weights": weights}))
    assert space.names == [
        f"weight {FINANCE} [1 of 3]", f"weight {FINANCE} [2 of 3]", f"weight {FINANCE} [3 of 3]",
        f"weight {MATH} [mlp]", f"weight {MATH} [rest]",
    ]  # fmt: skip
    found = space.recipe(dict(zip(space.names, [0.0, 0.5, 1.0, 0.2, 0.3], strict=True)))
    assert list(found.models[0].weight) == [0.0, 0.5, 1.0]
    assert found.models[1].weight == [{"filter": "mlp", "value": 0.2}, {"value": 0.3}]
    even = space.recipe(dict(zip(space.names, [0.5, 0.5, 0.5, 0.5, 0.5], strict=True)))
    assert [one.weight for one in even.models] == [0.5, 0.5]  # no schedule where none is needed


def test_known_points_inside_and_outside_of_the_space() -> None:
    inside = SearchSpace(design())
    assert inside.params_of(0.4) == {"scale": 0.4, f"weight {FINANCE}": 1.0}
    assert inside.params_of(1.3) is None  # beyond the range
    low = {"weights": {FINANCE: {"low": 0, "high": 0.9}}, "options": {"lambda": [0.4]}}
    assert SearchSpace(design(space=low)).params_of(0.4) is None  # a weight of 1 is not searched
    recipe = {**DATA["recipe"], "method": "ties"}
    ties = design(recipe=recipe, space={"options": {"density": [0.5]}})
    assert SearchSpace(ties).params_of(0.4) is None
    assert SearchSpace(ties).arithmetic(0.4).options["scale"] == 0.4


@given(st.floats(0.01, 2), st.floats(0.01, 2), st.floats(0, 1))
def test_a_recipe_is_within_its_range(low: float, width: float, where: float) -> None:
    given_range = {"low": low, "high": low + width}
    space = SearchSpace(design(space={"options": {"lambda": given_range}}, grid=[]))
    scale = space.recipe({"scale": low + where * width}).options["scale"]
    assert low <= scale <= low + width


def test_a_grid_is_every_point_once() -> None:
    options = {"lambda": {"low": 0.2, "high": 1.0, "step": 0.4}, "density": [0.2, 0.5]}
    space = {"methods": ["task_arithmetic", "ties"], "options": options}
    found = SearchSpace(design(space=space, sampler="grid"))
    points = list(found.grid())
    assert found.combinations() == len(points) == 3 + 3 * 2
    assert len({found.recipe(one).hash for one in points}) == 9


def option(name: str, given_range: Any) -> dict[str, Any]:
    return {"space": {"options": {name: given_range}}}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"space": {}}, "The space is empty"),
        (option("lambada", [1.0]), 'Unknown option of task_arithmetic "lambada". Did you mean'),
        (option("lambda", {"low": 1.2, "high": 0.2}), "goes from 1.2 down to 0.2; exchange"),
        (option("lambda", {"low": 1, "high": 1}), "has nothing to search"),
        (option("lambda", {"low": 0.2, "high": 99}), "has 99; allowed is"),
        (option("lambda", {"low": 0.2}), "needs low and high"),
        (option("lambda", {"low": 0.2, "hihg": 1}), 'Unknown key of space in the search "hihg"'),
        (option("lambda", [True]), "so true is no value of it|so True is no value of it"),
        (option("lambda", []), "is an empty list"),
        (option("lambda", "0.2 to 1"), "A range is"),
        (option("tise.density", [0.5]), 'Unknown method "tise"'),
        (option("ties.density", [0.5]), "ties is no method of the search"),
        ({"space": {"weights": {"sandbox/fnance": [1.0]}}}, 'Did you mean "sandbox/finance"'),
        ({"space": {"weights": {FINANCE: [1e9]}}}, "allowed are numbers from -100 to 100"),
        ({"space": {"methods": ["ties", "tise"]}}, 'Unknown merge method "tise"'),
        ({"sampler": "tpee"}, 'Unknown sampler "tpee". Did you mean "tpe"'),
        ({"sampler": "cmaes", "space": CATEGORY}, "CMA-ES searches numbers only, and the method"),
        ({"sampler": "cmaes", **option("lambda", [0.2, 0.4])}, "CMA-ES searches numbers only"),
        ({"sampler": "grid"}, "A grid needs values: give scale a step"),
        ({"sampler": "grid", **option("lambda", {"low": 0.1, "high": 5, "step": 0.0001})},
         "The grid has 49,001 points; 20,000 are the most"),
        ({"objectives": ["scoer"]}, 'Unknown objective "scoer". Did you mean "score"'),
        ({"objectives": ["change"]}, "The smallest change is no change at all"),
        ({"objectives": ["score", "change"], "prune": {"items": 4}}, "Pruning needs one objective"),
        ({"objectives": [{"of": "change", "tasks": ["a"]}]}, "takes no tasks"),
        ({"prune": {"pruner": "medain"}}, 'Unknown pruner "medain"'),
        ({"trials": 0}, "trials is 0; allowed is 1 to 100,000"),
        ({"split": None, "splitt": 1}, 'Unknown key of the search "splitt"'),
        ({"recipe": {"method": "task_arithmetic", "models": [{"model": FINANCE}]}}, "base"),
        ({"recipe": {"method": "task_arithmetic", "models": []}}, "has no models"),
        ({"grid": [0.4, 0.4]}, "names a scale twice"),
        ({"grid": [99]}, "grid of known points"),
        ({"recipe": None}, 'lacks "recipe"'),
    ],
)  # fmt: skip
def test_one_sentence_for_what_is_wrong(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SearchError, match=sentence.replace("(", "\\(")) as raised:
        design(**changes)
    text = str(raised.value)
    assert "\n" not in text
    assert text[-1] in ".?" and text.count(". ") <= 2
    assert raised.value.part


def test_what_the_suite_says() -> None:
    with pytest.raises(SearchError, match='no|Unknown task of the suite sandbox "sandbox_fiance"'):
        check_suite(design(tasks=["sandbox_fiance"]))
    with pytest.raises(SearchError, match="Unknown task of an objective"):
        check_suite(design(objectives=[{"of": "score", "tasks": ["sandbox_chat_math"]}]))
    with pytest.raises(SearchError, match="Unknown domain of an objective"):
        check_suite(design(objectives=[{"of": "score", "domains": ["cooking"]}]))
    asked = check_suite(design(objectives=["general", {"of": "score", "domains": ["finance"]}]))
    assert asked.objectives == (("sandbox_general_people",), ("sandbox_finance_firms",))
    assert asked.tasks == ("sandbox_general_people", "sandbox_finance_firms")


@pytest.mark.parametrize("name", ["pfmt-bench-fin-ja", "own-PFMT-copy"])
def test_pfmt_bench_chooses_no_merge(name: str) -> None:
    for changes in ({"suite": name}, {"tasks": [name]},
                    {"objectives": [{"of": "score", "tasks": [name]}]}):  # fmt: skip
        with pytest.raises(SearchError, match="for reporting only"):
            check_suite(design(**changes))


def test_too_few_items_are_refused() -> None:
    one = design(limit=1, tasks=["sandbox_general_people"])
    choosing, reported = parts(one, {"sandbox_general_people": 200})
    assert (choosing, reported) == ({"sandbox_general_people": 1}, {"sandbox_general_people": 1})
    with pytest.raises(SearchError, match="Only 1 item is left to choose by"):
        check_items(choosing, reported)


def test_values_of_a_range() -> None:
    steps = Range(low=0.1, high=1.0, step=0.3)
    assert steps.all_values() == [0.1, 0.4, 0.7, 1.0]
    assert steps.holds(0.7) and not steps.holds(0.75) and not steps.holds(True)
    assert Range.model_validate([True, False]).holds(True)
    assert not Range.model_validate([1, 0]).holds(True)
