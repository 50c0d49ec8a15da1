"""The Build form's draft and the recipe are two views of one thing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from merging.errors import RecipeError
from merging.methods import METHODS, OptionField
from merging.recipes.recipe import DTYPES, Recipe
from pages.components import gallery
from pages.components.build.draft import MAX_SEED, Draft

WEIGHTS = st.none() | st.floats(0.25, 2)
NAMES = ["a", "b", "org/c", "日本語", "with space"]


@pytest.mark.parametrize("example", gallery.examples(), ids=lambda each: each.key)
def test_every_example_is_a_recipe_with_a_story(example: gallery.Example) -> None:
    recipe = Recipe.from_yaml(example.text)
    assert Draft.from_recipe(recipe).to_recipe() == recipe
    assert example.title != example.key and example.story.endswith(".")
    assert gallery.example(example.key) is example


def scheduled(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A value, a gradient, or either by module."""
    several = values | st.lists(values, min_size=1, max_size=4)
    filters = st.sampled_from(["mlp", "embeddings", "*", "re:[qk]_proj"])
    condition = st.fixed_dictionaries({"value": several}, optional={"filter": filters})
    return several | st.lists(condition, min_size=1, max_size=3)


def options_of(draw: st.DrawFn, fields: list[OptionField]) -> dict[str, Any]:
    """Some of the options, with values or schedules that they allow."""
    found: dict[str, Any] = {}
    for field in fields:
        kinds = {
            "float": st.floats(field.minimum or 0, min(field.maximum or 1, 1)),
            "int": st.integers(int(field.minimum or 1), int(field.maximum or 10)),
            "bool": st.booleans(),
            "choice": st.sampled_from(field.choices or ("",)),
        }
        if draw(st.booleans()):
            found[field.name] = draw(scheduled(kinds[field.kind]))
    return found


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    method = METHODS[draw(st.sampled_from(list(METHODS)))]
    roles = list(method.roles)
    if not roles:
        most = method.max_models or 4
        n = draw(st.integers(max(1, method.min_models), most))
        roles = ["expert"] * n
        if draw(st.booleans()):
            roles[draw(st.sampled_from([0, -1])) if method.ordered else -1] = "instruct"
    names = draw(st.permutations(NAMES))[: len(roles)]
    data: dict[str, Any] = {
        "method": method.name,
        "models": [
            {
                "model": name,
                "role": role,
                "weight": draw(scheduled(st.floats(0.25, 2))) if method.uses_weights else 1.0,
                "options": options_of(draw, [f for f in method.fields() if f.per_model]),
                **({"revision": "main"} if draw(st.booleans()) else {}),
            }
            for name, role in zip(names, roles, strict=True)
        ],
        "dtype": draw(st.sampled_from([None, *DTYPES])),
        "seed": draw(st.integers(0, MAX_SEED)),
        "name": draw(st.sampled_from([None, "x"])),
        "options": options_of(draw, method.fields()),
        "tokenizer": draw(st.sampled_from(["auto", "union", names[0]])),
        "tokens": draw(st.sampled_from([{}, {"<|end|>": {"source": names[0], "force": True}}])),
        "pad_to_multiple_of": draw(st.sampled_from([None, 64])),
        "chat_template": draw(st.sampled_from(["auto", "none", "chatml", "{{ messages }}"])),
    }
    if not method.roles and draw(st.booleans()):
        data["slices"] = [
            {
                "sources": [
                    {"model": name, "layers": [first, first + 2], "weight": draw(WEIGHTS)}
                    for name in names
                ],
                "options": options_of(draw, method.fields()),
            }
            for first in (0, 3)
        ]
    if method.needs_base == "required":
        data["base"] = "base"
    try:
        return Recipe.from_mapping(data)
    except RecipeError:  # options that make no sense together: that is the recipe's own test
        assume(False)
        raise


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(recipes())
def test_form_and_recipe_say_the_same(recipe: Recipe) -> None:
    assert Draft.from_recipe(recipe).to_recipe() == recipe
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe


def test_what_the_form_cannot_show_is_refused_in_a_sentence() -> None:
    base = {"method": "task_arithmetic", "base": "b"}
    twice = Recipe.from_mapping({**base, "models": [{"model": "a"}, {"model": "a"}]})
    with pytest.raises(RecipeError, match="a is among the models twice"):
        Draft.from_recipe(twice)
    models = [{"model": "a", "role": "instruct"}, {"model": "c", "role": "instruct"}]
    with pytest.raises(RecipeError, match="2 instruct models"):
        Draft.from_recipe(Recipe.from_mapping({**base, "models": models}))
    seed = Recipe.from_mapping({**base, "models": [{"model": "a"}], "seed": 2**60})
    with pytest.raises(RecipeError, match="seed"):
        Draft.from_recipe(seed)


def test_trying_another_method_loses_no_option() -> None:
    draft = Draft(method="ties", base="b", experts=["a"], options={"ties": {"density": 0.35}})
    draft.method = "task_arithmetic"
    assert "density" not in draft.to_recipe().options
    draft.method = "ties"
    assert draft.to_recipe().options["density"] == 0.35
