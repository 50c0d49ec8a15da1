"""Points: how many, their keys, words and recipes."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merging.recipes.recipe import Recipe
from studies.design import Design
from studies.errors import StudyError
from studies.points import PREVIOUS, Chosen, Point, points_of

PROJECT = Path(__file__).resolve().parents[2]
DATA: dict[str, Any] = {
    "name": "three",
    "base": "b",
    "experts": {"finance": "f", "math": "m", "japanese": {"model": "j", "revision": "v1"}},
    "instruct": "i",
    "methods": [
        {"method": "task_arithmetic", "grid": {"scale": [0.5, 1.0, 1.5]}},
        {"method": "ties", "grid": {"density": [0.2, 0.8], "scale": [0.5, 1.0]}},
        {"method": "dare_ties", "grid": {"density": [0.5]}, "seeds": [1, 2, 3]},
    ],
    "instruct_stage": {"alpha": [0, 1.0, 1.5], "expert_scale": [0.5, 1.0]},
    "suite": "sandbox",
}


def design(**values: Any) -> Design:
    return Design(**{**copy.deepcopy(DATA), **values})


def everything(made: Design, best: Point | None = None) -> list[Point]:
    """All points, the instruct stage on a given merge, else on the first pair by TIES."""
    best = best or next(one for one in points_of(made, "2") if one.method == "ties")
    chosen = Chosen({one.method: one.combinations()[0] for one in made.methods}, best)
    return [one for stage in made.stages for one in points_of(made, stage, chosen)]


def test_counted_by_hand() -> None:
    made = design()
    # 3 + 2 x 2 + 1 x 3 seeds = 10 merges of each set of experts: 3 single, 3 pairs, 1 triple
    assert made.counts() == {"1": 30, "2": 30, "3": 10, "instruct": 24}
    for stage in ("1", "2", "3"):
        assert len(points_of(made, stage)) == made.counts()[stage]
    # 3 alphas x 2 scales on each of 3 experts; 6 more on the best merge when it is known
    assert len(points_of(made, "instruct")) == 18
    best = points_of(made, "3")[0]
    assert len(points_of(made, "instruct", Chosen(best=best))) == 24
    keys = [one.key for one in everything(made)]
    assert len(keys) == len(set(keys)) == 94


def test_counted_by_hand_with_the_best_carried() -> None:
    made = design(carry="best")
    # the first stage as before; then one combination a method, DARE still with 3 masks: 1 + 1 + 3
    assert made.counts() == {"1": 30, "2": 15, "3": 5, "instruct": 24}
    assert points_of(made, "2") == []
    chosen = Chosen({
        "task_arithmetic": {"scale": 0.5, "normalize": False},
        "dare_ties": made.methods[2].combinations()[0],
    })  # fmt: skip
    found = points_of(made, "2", chosen)  # TIES has no score yet, so nothing is carried
    assert len(found) == 12
    assert {one.options["scale"] for one in found if one.method == "task_arithmetic"} == {0.5}
    assert made.before("2") == "1" and made.before("1") is None
    only = design(carry="best", stages=[2, 3])
    assert only.counts() == {"2": 30, "3": 5} and not only.is_carried("2")


def test_one_expert_and_its_instruct_stage() -> None:
    made = design(experts={"finance": "f"}, methods=DATA["methods"][:1], carry="best")
    assert made.counts() == {"1": 3, "instruct": 12}
    assert design(experts={"finance": "f"}, methods=[]).counts() == {"instruct": 6}


def test_runs_that_share_a_combined_task_vector_stand_together() -> None:
    found = points_of(design(), "2")
    groups = [
        (one.method, one.constituents, one.seed, {**one.options, "scale": None}) for one in found
    ]
    runs = [key for key, _ in itertools.groupby(groups)]
    assert all(runs.count(one) == 1 for one in runs)
    assert found[3].options["scale"] == 0.5 and found[0].constituents == ("finance", "math")


def test_stages() -> None:
    assert points_of(design(stages=[1]), "2") == []
    with pytest.raises(StudyError, match='There is no stage "4"; the stages are 1, 2, 3 and'):
        points_of(design(), "4")


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_keys_do_not_depend_on_any_order(data: st.DataObject) -> None:
    drawn = copy.deepcopy(DATA)
    drawn["methods"] = data.draw(st.permutations(drawn["methods"]))
    experts = data.draw(st.permutations(list(drawn["experts"].items())))
    drawn["experts"] = dict(experts)
    for one in drawn["methods"]:
        grid = data.draw(st.permutations(list(one["grid"].items())))
        one["grid"] = {name: data.draw(st.permutations(values)) for name, values in grid}
    first = design()
    best = next(one for one in points_of(first, "2") if one.method == "ties")
    chosen = Chosen(best=best)
    for stage in first.stages:
        ours = {one.key for one in points_of(first, stage, chosen)}
        assert {one.key for one in points_of(Design(**drawn), stage, chosen)} == ours


@settings(max_examples=30, deadline=None)
@given(
    more=st.lists(st.sampled_from([0.1, 0.3, 0.4, 0.7, 0.9]), unique=True),
    seeds=st.lists(st.integers(4, 99), unique=True),
)
def test_a_larger_design_keeps_every_key(more: list[float], seeds: list[int]) -> None:
    drawn = copy.deepcopy(DATA)
    drawn["methods"][0]["grid"]["scale"] = [*more, 0.5, 1.0, 1.5]
    drawn["methods"][1]["grid"]["density"] += more
    drawn["methods"][2]["seeds"] += seeds
    drawn["methods"].append({"method": "dare_linear", "grid": {"density": [0.5]}})
    drawn["experts"] = {"code": "c", **drawn["experts"]}
    drawn["instruct_stage"]["alpha"] += more
    drawn["note"] = "another"
    best = points_of(design(), "2")[0]
    kept = {one.key for one in everything(design(), best)}
    assert kept <= {one.key for one in everything(Design(**drawn), best)}


def test_an_option_moved_into_the_grid_is_the_same_point() -> None:
    before = design(methods=[{"method": "ties", "grid": {"density": [0.2]}}])
    after = design(methods=[{"method": "ties", "grid": {"density": [0.2], "scale": [1, 1.5]},
                             "options": {"normalize": True}}])  # fmt: skip
    assert {one.key for one in points_of(before, "2")} < {one.key for one in points_of(after, "2")}


def test_different_points_have_different_keys() -> None:
    one = points_of(design(), "2")[0]
    others = [
        Point("1", one.constituents, one.method, one.options),
        Point(one.stage, ("finance", "japanese"), one.method, one.options),
        Point(one.stage, one.constituents, "dare_linear", one.options),
        Point(one.stage, one.constituents, one.method, {**one.options, "scale": 0.6}),
        Point(one.stage, one.constituents, one.method, {**one.options, "normalize": True}),
        Point(one.stage, one.constituents, one.method, one.options, seed=1),
        Point(one.stage, one.constituents, one.method, one.options, on="0" * 12),
    ]
    assert len({one.key, *(other.key for other in others)}) == 8


def test_keys_stay_the_same_for_ever() -> None:
    """Changing this makes every study score everything again."""
    point = Point("2", ("finance", "math"), "task_arithmetic", {"scale": 0.5, "normalize": False})
    assert point.key == "865b71c0eac7"


def test_words() -> None:
    made = design()
    assert points_of(made, "1")[0].label == "base + finance · Task arithmetic, scale 0.5"
    ties = next(one for one in points_of(made, "2") if one.method == "ties")
    assert ties.label == "finance + math · TIES, density 0.2, scale 0.5"
    assert points_of(made, "3")[-1].label == (
        "finance + math + japanese · DARE-TIES, density 0.5, scale 1, seed 3"
    )
    found = points_of(made, "instruct", Chosen(best=ties))
    assert found[0].label == "0.5 × finance + 0 × instruct"
    assert found[5].label == "finance + 1.5 × instruct"
    assert found[-1].label == f"({ties.label}) + 1.5 × instruct"
    other = design(methods=[{"method": "dare_linear", "grid": {"density": [0.5]},
                             "options": {"rescale": "l1", "normalize": True}}])  # fmt: skip
    assert points_of(other, "2")[0].label == (
        "finance + math · DARE linear, density 0.5, scale 1, rescale l1, normalize true, seed 0"
    )


def test_plain_data_both_ways() -> None:
    for one in everything(design()):
        again = Point.from_mapping(one.to_mapping())
        assert again == one and again.key == one.key and again.label == one.label
        assert hash(again) == hash(one)
    assert "merge" not in points_of(design(), "1")[0].to_mapping()


def recipe(text: str) -> Recipe:
    return Recipe.from_yaml(text)


def same(one: Recipe, other: Recipe) -> None:
    assert one.to_mapping() == other.to_mapping()
    assert one.hash == other.hash


def test_recipes_of_the_merge_stages() -> None:
    made = design()
    same(
        points_of(made, "1")[0].recipe(made),
        recipe("{method: task_arithmetic, base: b, models: [{model: f}], options: {scale: 0.5}}"),
    )
    pair = [one for one in points_of(made, "2") if one.method == "ties"][-1]
    same(
        pair.recipe(made),
        recipe("{method: ties, base: b, models: [{model: m}, {model: j, revision: v1}], "
               "options: {density: 0.8, scale: 1.0}}"),
    )  # fmt: skip
    triple = points_of(made, "3")[-1]
    same(
        triple.recipe(made),
        recipe("{method: dare_ties, base: b, seed: 3, options: {density: 0.5}, "
               "models: [{model: f}, {model: m}, {model: j, revision: v1}]}"),
    )  # fmt: skip
    assert triple.steps(made) == [triple.recipe(made)] and not triple.two_steps


def test_a_method_without_a_base_merges_the_base_in_stage_1() -> None:
    made = design(methods=[{"method": "slerp", "grid": {"t": [0.3]}}], instruct=None)
    same(
        points_of(made, "1")[0].recipe(made),
        recipe("{method: slerp, models: [{model: b}, {model: f}], options: {t: 0.3}}"),
    )
    same(
        points_of(made, "2")[0].recipe(made),
        recipe("{method: slerp, models: [{model: f}, {model: m}], options: {t: 0.3}}"),
    )
    assert points_of(made, "3") == []


def test_recipe_of_an_expert_with_the_instruct_model() -> None:
    made = design()
    same(
        points_of(made, "instruct")[2].recipe(made),
        recipe("{method: instruction_residual, base: b, options: {alpha: 1.5, expert_scale: 0.5}, "
               "models: [{model: f}, {model: i, role: instruct}]}"),
    )  # fmt: skip


@pytest.mark.parametrize(("normalize", "weight"), [("false", 0.75), ("true", 0.375)])
def test_the_best_merge_by_task_arithmetic_is_one_recipe(normalize: str, weight: float) -> None:
    """base + 1.5 (f + m) times 0.5, and alpha of the instruct; normalised it is half of that."""
    given = {"method": "task_arithmetic", "grid": {"scale": [1.5]},
             "options": {"normalize": normalize == "true"}}  # fmt: skip
    made = design(methods=[given])
    best = points_of(made, "2")[0]
    point = points_of(made, "instruct", Chosen(best=best))[-4]
    assert point.options == {"alpha": 1.5, "expert_scale": 0.5}
    assert point.on == best.key and not point.two_steps
    same(
        point.recipe(made),
        recipe(f"{{method: task_arithmetic, base: b, options: {{scale: 1.0}}, models: ["
               f"{{model: f, weight: {weight}}}, {{model: m, weight: {weight}}}, "
               "{model: i, role: instruct, weight: 1.5}]}"),
    )  # fmt: skip


def test_the_best_merge_by_ties_is_two_recipes() -> None:
    made = design()
    best = next(one for one in points_of(made, "2") if one.method == "ties")
    point = points_of(made, "instruct", Chosen(best=best))[-1]
    assert point.constituents == ("finance", "math", "instruct") and point.two_steps
    first, last = point.steps(made)
    same(first, best.recipe(made))
    same(
        last,
        recipe(
            "{method: instruction_residual, base: b, options: {alpha: 1.5, expert_scale: 1.0}, "
            f"models: [{{model: '{PREVIOUS}', fingerprint: {first.hash}}}, "
            "{model: i, role: instruct}]}"
        ),
    )
    assert point.recipe(made) == last
    # the last step's hash says which merge it is upon
    pinned = made.pinned({"f": "a" * 64})
    assert point.recipe(pinned).hash != last.hash
    with pytest.raises(StudyError, match="builds on the merge"):
        Point.from_mapping({**point.to_mapping(), "merge": None}).steps(made)


def test_fingerprints_are_in_the_recipes() -> None:
    made = design().pinned({"b": "b" * 64, "f": "f" * 64, "i": "1" * 64})
    found = points_of(made, "instruct")[0].recipe(made)
    assert found.base_fingerprint == "b" * 64
    assert [one.fingerprint for one in found.models] == ["f" * 64, "1" * 64]


def test_a_design_that_lacks_a_model() -> None:
    point = points_of(design(), "3")[0]
    with pytest.raises(StudyError, match='has no model "japanese"'):
        point.recipe(design(experts={"finance": "f", "math": "m"}))


def test_one_recipe_and_two_are_the_same_merge() -> None:
    """The best merge + alpha (instruct - base), computed by hand from the weights."""
    import torch
    from safetensors.torch import load_file

    from merging.in_memory import merge_to_model

    names = ("base", "finance", "math", "instruct")
    folders = {name: PROJECT / "sandbox" / name for name in names}
    made = Design(
        name="n",
        base="base",
        experts={"finance": "finance", "math": "math"},
        instruct="instruct",
        methods=[{"method": "task_arithmetic", "grid": {"scale": [0.8]}}],
        instruct_stage={"alpha": [1.3], "expert_scale": [0.7]},
        suite="sandbox",
    )
    best = points_of(made, "2")[0]
    (point,) = points_of(made, "instruct", Chosen(best=best))[-1:]

    def merged(one: Recipe) -> Any:
        making = merge_to_model(one, folders, device="cpu", dtype="float32")
        while True:
            try:
                next(making)
            except StopIteration as stop:
                return dict(stop.value[0].named_parameters())

    found = merged(point.recipe(made))
    below = merged(best.recipe(made))
    weights = {name: load_file(folders[name] / "model.safetensors") for name in names}
    compared = 0
    for name, values in found.items():
        base, instruct = (weights[one][name].float() for one in ("base", "instruct"))
        wanted = base + 0.7 * (below[name] - base) + 1.3 * (instruct - base)
        torch.testing.assert_close(values.data, wanted, rtol=0, atol=2e-6)
        compared += values.numel()
    assert compared > 1_000_000
