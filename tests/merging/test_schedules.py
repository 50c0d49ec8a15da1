"""Schedules: gradients, values by module, what is refused, and what a merge makes of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merging.errors import RecipeError
from merging.recipes import schedules
from merging.recipes.layers import position
from merging.recipes.patterns import compile_pattern
from merging.recipes.recipe import Recipe
from tests.merging import models, reference
from tests.merging.models import finish, stored

ATTENTION = "model.layers.3.self_attn.q_proj.weight"
MLP = "model.layers.3.mlp.down_proj.weight"
NORM = "model.layers.3.input_layernorm.weight"
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
everyday = settings(max_examples=100, deadline=None, derandomize=True)


def over(setting: Any, count: int) -> list[Any]:
    """The values of `count` layers."""
    return [schedules.resolve(setting, ATTENTION, position(i, count)) for i in range(count)]


@pytest.mark.parametrize(
    ("points", "count", "expected"),
    [
        ([0.3], 3, [0.3, 0.3, 0.3]),
        ([0.0, 1.0], 1, [1.0]),  # a single layer is the last one, as in mergekit
        ([0.0, 1.0], 2, [0.0, 1.0]),
        ([0.0, 1.0], 5, [0.0, 0.25, 0.5, 0.75, 1.0]),
        ([1.0, 0.0, 1.0], 5, [1.0, 0.5, 0.0, 0.5, 1.0]),
        ([0.0, 0.5, 1.0], 2, [0.0, 1.0]),  # more points than layers: those in between are passed
        ([0.0, 1.0, 0.0, 1.0], 7, [0.0, 0.5, 1.0, 0.5, 0.0, 0.5, 1.0]),
        ([-2.0, 2.0], 3, [-2.0, 0.0, 2.0]),
        ([1, 10], 4, [1, 4, 7, 10]),  # whole numbers stay whole
        ([1, 2], 3, [1, 2, 2]),
        ([True, False], 4, [True, True, True, False]),  # switches are not interpolated
        (["a", "b", "c"], 5, ["a", "a", "b", "b", "c"]),
    ],
)
def test_gradients_by_hand(points: list[Any], count: int, expected: list[Any]) -> None:
    found = over(points, count)
    assert found == pytest.approx(expected) if isinstance(points[0], float) else found == expected
    assert [type(one) for one in found] == [type(one) for one in expected]


def test_outside_of_the_layers_the_first_point_counts() -> None:
    assert schedules.resolve([0.2, 0.9], EMBEDDING, None) == 0.2
    assert schedules.resolve([True, False], HEAD, None) is True


def test_the_first_filter_that_matches_counts() -> None:
    setting = [
        {"filter": "q_proj", "value": 0.1},
        {"filter": "self_attn", "value": 0.2},
        {"filter": "embeddings", "value": 0.3},
        {"value": [0.4, 0.8]},
        {"filter": "mlp", "value": 99.0},  # never reached
    ]
    of = {name: schedules.resolve(setting, name, 0.5) for name in (ATTENTION, MLP, NORM)}
    assert of == {ATTENTION: 0.1, MLP: pytest.approx(0.6), NORM: pytest.approx(0.6)}
    assert schedules.resolve(setting, ATTENTION.replace("q_", "k_"), 0.5) == 0.2
    assert schedules.resolve(setting, EMBEDDING, None) == 0.3
    assert schedules.resolve(setting, HEAD, None) == 0.3
    assert schedules.resolve(setting, "model.norm.weight", None) == 0.4


def test_what_no_filter_means_has_no_value() -> None:
    assert schedules.resolve([{"filter": "mlp", "value": 1.0}], ATTENTION, 0.0) is None


@pytest.mark.parametrize(
    ("filter_", "means"),
    [
        (None, {ATTENTION, MLP, NORM, EMBEDDING, HEAD}),
        ("*", {ATTENTION, MLP, NORM, EMBEDDING, HEAD}),
        ("self_attn", {ATTENTION}),
        ("mlp", {MLP}),
        ("norm", {NORM}),
        ("layers.3", {ATTENTION, MLP, NORM}),
        ("embeddings", {EMBEDDING, HEAD}),
        ("embed_tokens", {EMBEDDING}),
        ("lm_head", {HEAD}),
        ("q_proj|down", set()),  # without re: it is text
        (r"re:q_proj|down", {ATTENTION, MLP}),
        (r"re:^model\.layers\.[0-3]\.(self_attn|mlp)", {ATTENTION, MLP}),
        (r"re:\.4\.", set()),
        ("MLP", set()),
    ],
)
def test_filters(filter_: str | None, means: set[str]) -> None:
    names = {ATTENTION, MLP, NORM, EMBEDDING, HEAD}
    assert {name for name in names if schedules.matches(filter_, name)} == means


@pytest.mark.parametrize("name", [
    "transformer.wte.weight", "gpt_neox.embed_in.weight", "embed_out.weight", "shared.weight",
    "transformer.word_embeddings.weight", "language_model.model.embed_tokens.weight",
])  # fmt: skip
def test_embeddings_of_other_models(name: str) -> None:
    assert schedules.matches("embeddings", name)
    assert not schedules.matches("embeddings", "model.layers.0.mlp.shared_expert.up_proj.weight")


BAD: list[tuple[Any, str]] = [
    ([], "density is an empty list"),
    ([0.1] * 1001, "1001 entries"),
    ([0.1, [0.2]], "list inside a list"),
    ([0.1, {"value": 0.2}], "mixes values and filters"),
    ({"filter": "mlp"}, "lacks its value"),
    ([{}], "lacks its value"),
    ([{"filter": "mlp", "valeu": 0.1}], 'Did you mean "value"'),
    ([{"filter": "mlp", "value": {"value": 1}}], "filter inside a filter"),
    ([{"filter": "mlp", "value": [{"value": 1}]}], "inside a gradient"),
    ([{"filter": "mlp", "value": [[0.1]]}], "inside a gradient"),
    ([{"filter": "mlp", "value": []}], "empty list"),
    ([{"filter": "", "value": 0.1}], "part of a tensor's name"),
    ([{"filter": 3, "value": 0.1}], "part of a tensor's name"),
    ([{"filter": "x" * 201, "value": 0.1}], "part of a tensor's name"),
    ([{"filter": "re:(", "value": 0.1}], "cannot be used as a regular expression"),
    ([{"filter": "re:(a+)+b", "value": 0.1}], "search for hours"),
    ([0.1, "x"], "density must be a number"),
    ([0.1, 7], "density is 7"),
    ([0.1, True], "density must be a number"),
    ([{"value": float("nan")}], "density"),
    ([None], "density must be a number"),
]


@pytest.mark.parametrize(("setting", "said"), BAD, ids=[said for _, said in BAD])
def test_bad_schedules_are_refused_in_a_sentence(setting: Any, said: str) -> None:
    for place in ("options", "models"):
        data = ties(setting) if place == "options" else ties(0.5, own={"density": setting})
        with pytest.raises(RecipeError, match=re.escape(said)) as caught:
            Recipe.from_mapping(data)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("weight", [[1, 101], [{"filter": "mlp", "value": "much"}], [True], [[1]]])
def test_bad_weights_are_refused_in_a_sentence(weight: Any) -> None:
    with pytest.raises(RecipeError, match="weight"):
        Recipe.from_mapping(ties(0.5, weight=weight))


@pytest.mark.parametrize(
    "pattern",
    [
        r"layers\.(0|1|2|3|4|5|6|7|8|9|10|11|12|13|14|15)\.mlp",
        r"^model\.layers\.\d+\..*norm",
        r"[qkv]_proj\.weight$",
        r"^(?!.*norm).*mlp",
        r"layers\.\d{1,2}\.",
    ],
)
def test_ordinary_patterns_are_taken(pattern: str) -> None:
    assert compile_pattern(pattern).pattern == pattern


@pytest.mark.parametrize(
    "pattern",
    ["(.+)+x", "(a|a)*b", "(x*)*", ".?" * 60, "(.|.)" * 30, ".*.*.*.*x", "(?:(?:a?)?)*b"],
)
def test_patterns_that_would_search_for_hours_are_not(pattern: str) -> None:
    with pytest.raises(ValueError, match="search for hours"):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (0.5, "0.5"),
        (True, "true"),
        ("1/d", "1/d"),
        ([0.0, 0.25, 1.0], "0 → 0.25 → 1"),
        ([{"filter": "mlp", "value": 0.3}, {"value": [0.5, 1.0]}], "mlp 0.3, else 0.5 → 1"),
    ],
)
def test_in_words(setting: Any, said: str) -> None:
    assert schedules.in_words(setting) == said


numbers = st.floats(-100, 100)
gradients = st.lists(numbers, min_size=1, max_size=9)


@everyday
@given(gradients, st.integers(1, 200))
def test_a_gradient_stays_within_its_points(points: list[float], count: int) -> None:
    found = over(points, count)
    assert all(min(points) <= one <= max(points) for one in found)
    assert found[-1] == points[-1]
    assert count == 1 or found[0] == points[0]


@everyday
@given(gradients, st.integers(1, 200))
def test_a_rising_gradient_rises(points: list[float], count: int) -> None:
    found = over(sorted(points), count)
    assert all(b >= a - 1e-12 * max(1, abs(a)) for a, b in zip(found, found[1:], strict=False))


@everyday
@given(gradients, st.integers(1, 50))
def test_a_gradient_read_backwards_is_the_stack_read_backwards(
    points: list[float], count: int
) -> None:
    if count > 1:
        assert over(points[::-1], count) == pytest.approx(over(points, count)[::-1], abs=1e-9)


filters = st.sampled_from(["mlp", "self_attn", "norm", "embeddings", "*", "re:layers\\.[01]"])
values = st.floats(0.01, 1)
single = values | st.lists(values, min_size=1, max_size=4)
conditions = st.lists(
    st.fixed_dictionaries({"value": single}, optional={"filter": filters}), min_size=1, max_size=4
)


@everyday
@given(single | conditions, single | conditions, st.none() | single | conditions)
def test_recipes_keep_their_schedules(density: Any, weight: Any, own: Any) -> None:
    data = ties(density, weight=weight, own={} if own is None else {"density": own})
    recipe = Recipe.from_mapping(data)
    assert recipe.options["density"] == density
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    assert Recipe.from_yaml(recipe.to_yaml()).hash == recipe.hash
    if density != 0.123:
        changed = ties(0.123, weight=weight, own={} if own is None else {"density": own})
        assert Recipe.from_mapping(changed).hash != recipe.hash


def test_one_condition_needs_no_list_and_means_the_same() -> None:
    alone = Recipe.from_mapping(ties({"filter": "mlp", "value": 0.3}))
    listed = Recipe.from_mapping(ties([{"filter": "mlp", "value": 0.3}]))
    assert alone == listed and alone.hash == listed.hash


def ties(density: Any, *, weight: Any = 1.0, own: Any = None) -> dict[str, Any]:
    """A recipe of two experts."""
    return {
        "method": "ties",
        "base": "base",
        "models": [
            {"model": "a", "weight": weight, "options": own or {}},
            {"model": "b", "weight": 0.5},
        ],
        "options": {"density": density},
    }


LAYERS = 5


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A base of five layers and two models made from it, in float32."""
    root = tmp_path_factory.mktemp("deep")
    names = models.weights(0)
    base = {name: tensor for name, tensor in names.items() if ".layers." not in name}
    for layer in range(LAYERS):
        for name, tensor in models.weights(layer + 1).items():
            if ".layers.0." in name:
                base[name.replace(".layers.0.", f".layers.{layer}.")] = tensor
    family = {"base": base, "a": models.tuned(base, 7), "b": models.tuned(base, 8)}
    return {
        name: models.write_model(
            root / name, tensors, dtype=torch.float32, changes={"num_hidden_layers": LAYERS}
        )
        for name, tensors in family.items()
    }


def merged(recipe: Recipe, folders: dict[str, Path], out: Path) -> models.Tensors:
    from merging.engine import merge_to_folder

    finish(merge_to_folder(recipe, folders, out))
    return stored(out)


def layer_of(name: str) -> int | None:
    found = re.search(r"\.layers\.(\d+)\.", name)
    return int(found[1]) if found else None


def test_a_merge_follows_its_schedules(deep: dict[str, Path], tmp_path: Path) -> None:
    """Task arithmetic; every tensor computed here once more, with its values written out."""
    recipe = Recipe.from_mapping(
        {
            "method": "task_arithmetic",
            "base": "base",
            "models": [
                {"model": "a", "weight": [0.0, 1.0]},
                {
                    "model": "b",
                    "weight": [
                        {"filter": "mlp", "value": 0.25},
                        {"filter": r"re:layers\.[34]\..*(q|k)_proj", "value": [0.5, 0.9]},
                        {"filter": "embeddings", "value": 0.75},
                    ],
                },
            ],
            "options": {"scale": [1.0, 2.0, 1.0]},
        }
    )
    out = merged(recipe, deep, tmp_path / "out")
    parts = {name: stored(folder) for name, folder in deep.items()}
    a_by_layer = [0.0, 0.25, 0.5, 0.75, 1.0]
    scale_by_layer = [1.0, 1.5, 2.0, 1.5, 1.0]
    qk_by_layer = [None, None, None, 0.8, 0.9]
    assert len(out) == len(parts["base"])
    for name, tensor in out.items():
        layer = layer_of(name)
        a = 0.0 if layer is None else a_by_layer[layer]
        scale = 1.0 if layer is None else scale_by_layer[layer]
        b = 1.0  # where no filter matches, the weight is as if none were given
        if ".mlp." in name:
            b = 0.25
        elif layer is not None and layer >= 3 and ("q_proj" in name or "k_proj" in name):
            b = qk_by_layer[layer]
        elif name in (EMBEDDING, HEAD):
            b = 0.75
        at = {one: part[name].numpy().astype(np.float64) for one, part in parts.items()}
        expected = reference.task_arithmetic(at["base"], [at["a"], at["b"]], [a, b], scale)
        np.testing.assert_allclose(tensor.numpy(), expected, rtol=2e-6, atol=2e-6, err_msg=name)


def test_a_merge_follows_each_models_own_values(deep: dict[str, Path], tmp_path: Path) -> None:
    """TIES with a density for one model, another schedule for all."""
    recipe = Recipe.from_mapping(
        {
            "method": "ties",
            "base": "base",
            "models": [
                {"model": "a", "weight": 1.0, "options": {"density": [0.2, 0.8]}},
                {
                    "model": "b",
                    "weight": [0.5, 1.5],
                    "options": {"density": [{"filter": "norm", "value": 1.0}]},
                },
            ],
            "options": {"density": [{"filter": "mlp", "value": 0.3}, {"value": 0.6}]},
        }
    )
    out = merged(recipe, deep, tmp_path / "out")
    parts = {name: stored(folder) for name, folder in deep.items()}
    for name, tensor in out.items():
        layer = layer_of(name)
        density_a = 0.2 if layer is None else [0.2, 0.35, 0.5, 0.65, 0.8][layer]
        density_b = 1.0 if "norm" in name else 0.3 if ".mlp." in name else 0.6
        weights = [1.0, 0.5 if layer is None else [0.5, 0.75, 1.0, 1.25, 1.5][layer]]
        base, a, b = (parts[one][name].numpy() for one in ("base", "a", "b"))
        changes = [
            reference.trim((model - base).astype(np.float64), density)
            for model, density in ((a, density_a), (b, density_b))
        ]
        expected = base + elected(changes, weights)
        np.testing.assert_allclose(tensor.numpy(), expected, rtol=1e-5, atol=1e-5, err_msg=name)


def elected(changes: list[reference.Array], weights: list[float]) -> reference.Array:
    """TIES' mean of those that agree with the sign of the plain sum."""
    sign = np.where(sum(changes) >= 0, 1, -1)
    total = np.zeros_like(changes[0])
    divisor = np.zeros_like(changes[0])
    for change, weight in zip(changes, weights, strict=True):
        total += np.where(np.sign(change) == sign, weight * change, 0)
        divisor += np.where(np.sign(change) == sign, weight, 0)
    return np.divide(total, divisor, out=np.zeros_like(total), where=divisor != 0)


def test_a_flat_schedule_gives_the_bytes_of_its_value(
    deep: dict[str, Path], tmp_path: Path
) -> None:
    """Whatever way a value is written, the merge is the same to the last bit."""
    plain = ties(0.4, weight=0.7)
    flat = ties([0.4, 0.4, 0.4], weight=[{"filter": "mlp", "value": [0.7, 0.7]}, {"value": 0.7}])
    first = merged(Recipe.from_mapping(plain), deep, tmp_path / "first")
    second = merged(Recipe.from_mapping(flat), deep, tmp_path / "second")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_switches_and_words_follow_filters(deep: dict[str, Path], tmp_path: Path) -> None:
    """Linear, normalized everywhere but in the MLPs."""
    listed = [{"model": one, "weight": 1.0} for one in ("a", "b")]
    recipe = Recipe.from_mapping(
        {
            "method": "linear",
            "models": listed,
            "options": {"normalize": [{"filter": "mlp", "value": False}, {"value": True}]},
        }
    )
    out = merged(recipe, deep, tmp_path / "out")
    a, b = stored(deep["a"]), stored(deep["b"])
    for name, tensor in out.items():
        expected = (a[name] + b[name]) / (1 if ".mlp." in name else 2)
        torch.testing.assert_close(tensor, expected, rtol=2e-6, atol=2e-6)
