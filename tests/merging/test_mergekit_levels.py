"""mergekit's recipes: slices, parameters at every level, schedules, tokens, odd references."""

from __future__ import annotations

from typing import Any

import pytest

from merging.errors import RecipeError
from merging.recipes.recipe import Recipe
from tests.merging.test_mergekit import TWO, changed, entry, minimal, slices
from tests.merging.tokenizers import test_as_mergekit as tokenizers

LEVELS = """
merge_method: dare_ties
base_model: base
modules:
  default:
    parameters: {density: 0.4, lambda: [0.5, 1]}
    slices:
      - sources:
          - {model: base, layer_range: [0, 2]}
          - {model: a, layer_range: [0, 2], parameters: {weight: 0.3, density: 0.2}}
          - {model: b, layer_range: [1, 3]}
        parameters: {weight: [{filter: mlp, value: 0.7}], lambda: 2}
      - sources:
          - {model: base, layer_range: [2, 4]}
          - {model: b, layer_range: [2, 4], parameters: {density: [{filter: k_proj, value: 0.9}]}}
parameters: {weight: 0.1, density: 0.6, normalize: true, lambda: 3}
"""


def test_the_nearest_level_with_a_value_decides() -> None:
    """mergekit's order: the source, its slice, the module, the recipe, the default."""
    recipe = Recipe.from_yaml(LEVELS)
    first, second = recipe.slices
    assert recipe.options == {
        "density": 0.4,
        "scale": [0.5, 1.0],
        "rescale": "l1",
        "normalize": True,
        "election_weights": True,
    }
    assert first.options == {"scale": 2.0}
    assert [one.layers for one in first.sources] == [(0, 2), (1, 3)]
    assert [one.options for one in first.sources] == [{"density": 0.2}, {}]
    assert [one.weight for one in recipe.models] == [0.3, 1.0]
    assert first.sources[1].weight == [{"filter": "mlp", "value": 0.7}, {"value": 0.1}]
    assert second.sources[0].weight == 0.1
    assert second.options == {"density": [{"filter": "k_proj", "value": 0.9}, {"value": 0.4}]}
    assert [one.base for one in recipe.slices] == [None, None]
    assert Recipe.from_yaml(recipe.to_yaml()).hash == recipe.hash


def test_slices_of_different_bases() -> None:
    parts = [
        *slices([("base", [0, 2]), ("a", [1, 3])]),
        *slices([("a", [0, 1]), ("b", [0, 1])], base_model="a"),
    ]
    data = {"merge_method": "task_arithmetic", "base_model": "base", "slices": parts}
    recipe = Recipe.from_mapping({**data, "parameters": {"weight": 0.5}})
    assert [one.model for one in recipe.models] == ["a", "b"]
    assert [one.base and (one.base.model, one.base.layers) for one in recipe.slices] == [
        ("base", (0, 2)),
        ("a", (0, 1)),
    ]
    other = slices([("base", [0, 2]), ("b", [0, 2])], base_model="b")
    swapped = {"merge_method": "slerp", "slices": [*slices(TWO, base_model="b"), *other]}
    recipe = Recipe.from_mapping({**swapped, "parameters": {"t": 0.2}})
    assert [[one.model for one in part.sources] for part in recipe.slices] == [
        ["b", "a"],
        ["b", "base"],
    ]
    assert recipe.base is None and recipe.config_donor == "b"


def test_the_base_of_a_slice_is_in_the_hash_and_the_order_of_its_sources_is_not() -> None:
    def recipe(*parts: tuple[str, list[int]]) -> Recipe:
        data = {"merge_method": "ties", "base_model": "base", "slices": slices([*parts])}
        return Recipe.from_mapping({**data, "parameters": {"weight": 0.5}})

    a, b = ("a", [0, 2]), ("b", [1, 3])
    one, other = recipe(a, b, ("base", [0, 2])), recipe(b, a, ("base", [0, 2]))
    assert one.hash == other.hash
    assert one.hash != recipe(a, b, ("base", [1, 3])).hash


def test_one_module_is_the_recipe() -> None:
    whole = minimal("ties")
    module = {key: whole.pop(key) for key in ("models", "parameters")}
    found = Recipe.from_mapping({**whole, "modules": {"default": module}})
    assert found == Recipe.from_mapping(minimal("ties"))


def test_what_models_have_for_themselves() -> None:
    data = minimal("ties", density=0.5)
    data["models"][0]["parameters"]["density"] = [0.2, 0.4]
    data["models"][1]["parameters"]["density"] = [{"filter": "mlp", "value": 0.1}]
    recipe = Recipe.from_mapping(data)
    assert recipe.options["density"] == 0.5
    assert [one.options for one in recipe.models] == [
        {"density": [0.2, 0.4]},
        # what the model's own filters leave, the recipe's value decides
        {"density": [{"filter": "mlp", "value": 0.1}, {"value": 0.5}]},
    ]


def test_what_all_models_have_is_said_once() -> None:
    data = minimal("ties")
    for model in data["models"]:
        model["parameters"]["density"] = 0.5
    recipe = Recipe.from_mapping(data)
    assert recipe.options["density"] == 0.5
    assert not any(one.options for one in recipe.models)


def test_a_base_that_is_not_listed_is_merged_too_where_it_is_a_model_like_others() -> None:
    """mergekit adds it to the models, and linear then wants a weight for it."""
    recipe = Recipe.from_mapping({**minimal("linear", weight=2.0), "base_model": "else"})
    found = [(one.model, one.weight) for one in recipe.models]
    assert found == [("else", 2.0), ("a", 0.5), ("b", 0.5)]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("mlp", "mlp"),
        ("layers.1.", "layers.1."),
        ("embeddings", "re:embeddings"),
        ("re:.*", r"re:re:\.\*"),
        ("*", None),
        ("", None),
    ],
)
def test_filters_are_parts_of_names_whatever_they_mean_here(given: str, meant: str | None) -> None:
    setting = [{"filter": given, "value": 0.3}, {"value": 0.5}]
    recipe = Recipe.from_mapping(changed(models=entry(parameters={"weight": setting})))
    expected = 0.3 if meant is None else [{"filter": meant, "value": 0.3}, {"value": 0.5}]
    assert recipe.models[0].weight == expected


def test_a_single_condition_is_a_setting() -> None:
    own = {"weight": {"value": 1}, "density": {"filter": "mlp", "value": 0.25}}
    recipe = Recipe.from_mapping(changed(models=entry(parameters=own)))
    assert recipe.models[0].weight == 1.0
    assert recipe.options["density"] == [{"filter": "mlp", "value": 0.25}, {"value": 1.0}]


def epsilon(density: Any, given: Any) -> Any:
    data = minimal("della", density=density, epsilon=given)
    return Recipe.from_mapping(data).options["epsilon"]


def test_dellas_spread_is_doubled_and_nothing_where_all_is_kept() -> None:
    assert epsilon([0.5, 0.7], [0.1, 0.2]) == [0.2, 0.4]
    assert epsilon([1, 1], 0.1) == 0.0
    mixed = [{"filter": "mlp", "value": 1}, {"value": [0.5, 0.6]}]
    assert epsilon(mixed, 0.1) == [{"filter": "mlp", "value": 0.0}, {"value": 0.2}]
    beside = [{"filter": "mlp", "value": 0.3}, {"value": 0.1}]
    assert epsilon(mixed, beside) == [{"filter": "mlp", "value": 0.0}, {"value": 0.2}]
    with pytest.raises(RecipeError, match="density of 1 in some tensors"):
        epsilon(mixed, [{"filter": "self_attn", "value": 0.3}, {"value": 0.1}])


def test_switches_have_schedules_too() -> None:
    data = minimal("dare_ties", rescale=[True, False], normalize=[{"filter": "mlp", "value": True}])
    options = Recipe.from_mapping(data).options
    assert options["rescale"] == ["l1", "none"]
    assert options["normalize"] == [{"filter": "mlp", "value": True}, {"value": False}]


def test_models_may_be_written_as_keys_and_may_be_adapters() -> None:
    listed = [
        {"model": {"model": {"path": "a b", "revision": "v1"}}},
        {"model": "b+lora@v2"},
        {"model": {"model": "c", "lora": {"path": "d"}}},
    ]
    recipe = Recipe.from_mapping(changed(models=listed, parameters={"weight": 1}))
    found = [(one.model, one.revision) for one in recipe.models]
    assert found == [("a b", "v1"), ("b+lora", "v2"), ("c+d", None)]


TOKENS = {
    "<|im_start|>": {"source": "a@v1", "force": True},
    "<|zero|>": {"source": {"kind": "zero"}},
    "<|like|>": {"source": {"kind": "model_token", "model": "b", "token": "<s>"}},
    "<|id|>": {"source": {"kind": "model_token", "model": "b", "token_id": 3}},
}


def with_tokenizer(**block: Any) -> Recipe:
    models = [{"model": name} for name in ("a@v1", "b")]
    return Recipe.from_mapping(changed(models=models, parameters={"weight": 1}, tokenizer=block))


def test_tokenizer_blocks() -> None:
    recipe = with_tokenizer(source="union", tokens=TOKENS, pad_to_multiple_of=32)
    assert (recipe.tokenizer, recipe.pad_to_multiple_of) == ("union", 32)
    assert recipe.tokens == {**TOKENS, "<|im_start|>": {"source": "a", "force": True}}
    # the block's default is not the recipe's
    assert with_tokenizer().tokenizer == "union"
    assert with_tokenizer(source="a@v1").tokenizer == "a"
    assert with_tokenizer(source="base").tokenizer == "base"


@pytest.mark.parametrize("name", [one for one in tokenizers.NAMES if one != "linear, base"])
def test_tokenizer_blocks_are_what_is_compared_with_mergekit(name: str) -> None:
    theirs, ours = tokenizers.recipes(name)
    assert Recipe.from_mapping(theirs).hash == Recipe(**ours).hash


@pytest.mark.parametrize(
    "template", ["chatml", "{% for m in messages %}{{ m.content }}{% endfor %}"]
)
def test_chat_templates(template: str) -> None:
    assert Recipe.from_mapping(changed(chat_template=template)).chat_template == template
