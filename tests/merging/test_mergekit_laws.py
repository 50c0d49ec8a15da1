"""Laws of mergekit's recipes: what comes in goes out, and comes back as the same recipe."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merging import mergekit
from merging.errors import RecipeError
from merging.mergekit.forms import FORMS, Form, Parameter
from merging.recipes.recipe import Recipe

FILTERS = ["mlp", "self_attn", "layers.1.", "embeddings", "re:x", "*", ""]


def values(parameter: Parameter) -> st.SearchStrategy[Any]:
    """Values that stay in range whatever meets."""
    if parameter.kind == "switch":
        return st.booleans()
    if parameter.kind == "whole":
        return st.integers(1, 50)
    if parameter.name == "epsilon":
        return st.sampled_from([0.0, 0.01, 0.05])
    return st.sampled_from([0.25, 0.375, 0.4, 0.5])


def settings_of(parameter: Parameter) -> st.SearchStrategy[Any]:
    """A value, a gradient, or filters with values and gradients."""
    one = values(parameter)
    if parameter.steady:
        return one
    points = st.lists(one, min_size=1, max_size=4)
    condition = st.fixed_dictionaries(
        {"value": one | points}, optional={"filter": st.sampled_from(FILTERS)}
    )
    return one | points | condition | st.lists(condition, min_size=1, max_size=3)


@st.composite
def parameters(draw: st.DrawFn, form: Form, *, per_model: bool) -> dict[str, Any]:
    """Some of the parameters of a level."""
    names = st.sets(st.sampled_from(form.names(per_model=per_model) or ["int8_mask"]))
    chosen = [name for name in draw(names) if name not in form.only and form.has(name)]
    return {name: draw(settings_of(form[name])) for name in sorted(chosen)}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A recipe of mergekit that has a value for everything that needs one."""
    form = FORMS[draw(st.sampled_from(sorted(FORMS)))]
    models = {"slerp": ["b"], "arcee_fusion": ["a"], "passthrough": ["a"]}.get(
        form.name, ["a", "b"]
    )
    with_base = form.base in ("required", "first") or (
        form.base == "optional" and draw(st.booleans())
    )
    names = [*models, "base"] if with_base else models
    # DELLA's default density of 1 does not go with an epsilon by filters
    without = [one for one in form.parameters if one.default is None or one.name == "density"]
    needed = {one.name: draw(values(one)) for one in without}
    data: dict[str, Any] = {
        "merge_method": form.name,
        "parameters": {**needed, **draw(parameters(form, per_model=False))},
    }
    for name in needed:
        setting = data["parameters"][name]
        if isinstance(setting, dict) or (isinstance(setting, list) and setting):
            conditions = setting if isinstance(setting, list) else [setting]
            if isinstance(conditions[0], dict):
                data["parameters"][name] = [*conditions, {"value": needed[name]}]
    if with_base:
        data["base_model"] = "base"
    if draw(st.booleans()):
        data["models"] = [
            {"model": name, "parameters": draw(parameters(form, per_model=True))} for name in names
        ]
        return data
    first = st.integers(0, 2)
    data["slices"] = [
        {
            "sources": [
                {
                    "model": name,
                    "layer_range": [start := draw(first), start + 2],
                    "parameters": draw(parameters(form, per_model=True)),
                }
                for name in draw(st.permutations(names))
            ],
            "parameters": draw(parameters(form, per_model=False)),
        }
        for _ in range(draw(st.integers(1, 3)))
    ]
    return data


@settings(max_examples=200, deadline=None, derandomize=True)
@given(documents())
def test_in_and_out_and_in_again_is_the_same_recipe(data: dict[str, Any]) -> None:
    recipe = Recipe.from_mapping(data)
    assert Recipe.from_yaml(recipe.to_yaml()).hash == recipe.hash
    written = mergekit.export(recipe)
    back = Recipe.from_yaml(written)
    assert back.hash == recipe.hash
    assert mergekit.export(back) == written


@pytest.mark.parametrize("method", FORMS)
@settings(max_examples=5, deadline=None, derandomize=True)
@given(st.data())
def test_a_misspelt_parameter_is_refused_wherever_it_stands(
    method: str, data: st.DataObject
) -> None:
    form = FORMS[method]
    wrong = data.draw(st.sampled_from([f"{name}s" for name in form.names()] or ["wieght"]))
    place = data.draw(st.sampled_from(["recipe", "model"]))
    recipe: dict[str, Any] = {
        "merge_method": method,
        "base_model": "base",
        "models": [{"model": name} for name in ("base", "a", "b")],
    }
    target = recipe if place == "recipe" else recipe["models"][1]
    target["parameters"] = {wrong: 1}
    with pytest.raises(RecipeError, match=wrong):
        Recipe.from_mapping(recipe)
