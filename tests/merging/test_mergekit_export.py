"""Recipes as mergekit's YAML: what they become, and what mergekit has no words for."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from merging import mergekit
from merging.errors import RecipeError
from merging.mergekit.forms import FORMS
from merging.methods import METHODS
from merging.recipes.recipe import Recipe

VOTES = {"election_weights": True}


def recipe(method: str = "ties", options: Any = None, **more: Any) -> Recipe:
    """A recipe in mergekit's form of a method, but for what is given."""
    form = FORMS.get(method)
    chosen = METHODS[method]
    fixed: dict[str, Any] = dict(form.fixed) if form else {}
    if form and form.has("rescale"):
        fixed["rescale"] = "l1"
    count = min(2, chosen.max_models or 2)
    weight = 0.5 if form is None or form.has("weight") else 1.0
    data = {
        "method": method,
        "base": "base" if chosen.needs_base == "required" else None,
        "models": [{"model": name, "weight": weight} for name in ("a", "b")[:count]],
        "options": {**fixed, **(options or {})},
    }
    return Recipe(**{**data, **more})


def out(given: Recipe, **how: Any) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(mergekit.export(given, **how))
    return data


def models(*names: str, **more: Any) -> list[dict[str, Any]]:
    return [{"model": name, **more} for name in names]


@pytest.mark.parametrize("method", FORMS)
def test_every_method_goes_there_and_back(method: str) -> None:
    given = recipe(method)
    assert Recipe.from_yaml(mergekit.export(given)).hash == given.hash


def test_a_recipe_in_full() -> None:
    given = recipe(
        name="mine",
        base_revision="v0",
        models=[
            {"model": "a", "weight": [0.1, 0.9], "revision": "v1"},
            {
                "model": "b",
                "weight": [{"filter": "mlp", "value": 0.5}],
                "options": {"density": [{"filter": "embeddings", "value": 0.9}]},
            },
        ],
        options={"density": 0.3, "scale": 1.5, **VOTES},
        dtype="bfloat16",
        tokenizer="a",
        tokens={"<x>": {"source": "zero"}, "<y>": {"source": "b", "force": True}, "<z>": None},
        pad_to_multiple_of=8,
        chat_template="chatml",
    )
    data = out(given)
    assert data["models"][0] == {"model": "a@v1", "parameters": {"weight": [0.1, 0.9]}}
    own = data["models"][1]["parameters"]
    # where its filters say nothing, a weight is 1 here and missing there
    assert own["weight"] == [{"filter": "mlp", "value": 0.5}, {"value": 1.0}]
    assert {"filter": "embed_tokens.", "value": 0.9} in own["density"]
    assert {"filter": "lm_head.", "value": 0.9} in own["density"]
    assert data["parameters"] == {"density": 0.3, "normalize": True, "lambda": 1.5}
    assert data["tokenizer"] == {
        "source": "a@v1",
        "tokens": {
            "<x>": {"source": {"kind": "zero"}},
            "<y>": {"source": "b", "force": True},
            "<z>": {},
        },
        "pad_to_multiple_of": 8,
    }
    assert {key: data[key] for key in ("name", "base_model", "merge_method")} == {
        "name": "mine",
        "base_model": "base@v0",
        "merge_method": "ties",
    }
    kept = {key: data[key] for key in ("dtype", "out_dtype", "chat_template")}
    assert kept == {"dtype": "float32", "out_dtype": "bfloat16", "chat_template": "chatml"}


def test_names_that_mergekit_knows_models_by() -> None:
    data = out(recipe(), names={"base": "/models/base", "a": "/models/a+b@c"})
    assert data["base_model"] == "/models/base"
    assert data["models"][0]["model"] == {"model": {"path": "/models/a+b@c"}}
    assert data["models"][1]["model"] == "b"


@pytest.mark.parametrize("name", ["a+lora", "org/a@b", "a b", "x+y@z+lora"])
def test_odd_names_come_back(name: str) -> None:
    given = recipe(models=[{"model": name, "revision": "v1"}, {"model": "b"}])
    back = Recipe.from_yaml(mergekit.export(given))
    assert (back.models[0].model, back.models[0].revision) == (name, "v1")


def test_an_instruction_residual_is_a_sum_of_task_vectors() -> None:
    given = recipe(
        "instruction_residual",
        {"alpha": [0.5, 1], "expert_scale": 0.9},
        models=[{"model": "a"}, {"model": "b", "role": "instruct"}],
    )
    data = out(given)
    assert data["merge_method"] == "task_arithmetic"
    assert [one["parameters"]["weight"] for one in data["models"]] == [0.9, [0.5, 1.0]]
    # what the role says here
    assert data["tokenizer_source"] == "b"


def test_what_changes_nothing_is_no_hindrance() -> None:
    """Options of the paper's form, where they do what mergekit does."""
    equal = recipe(options={"density": 0.5, "election_weights": False})
    assert out(equal)["parameters"]["density"] == 0.5
    whole = recipe("dare_linear", {"density": 1.0, "rescale": "1/d"})
    assert out(whole)["parameters"]["rescale"] is True
    kept = recipe("della", {"density": 1.0, "epsilon": 0.0, "rescale": "1/p"})
    assert out(kept)["parameters"]["density"] == 1.0
    plain = recipe("task_arithmetic", {"scale": [{"filter": r"re:layers\.1\.", "value": 0.5}]})
    assert out(plain)["parameters"]["lambda"] == [
        {"filter": "layers.1.", "value": 0.5},
        {"value": 1.0},
    ]


DIFFERENT = [{"model": "a", "weight": 0.5}, {"model": "b", "weight": 0.6}]
SLICE = {"sources": [{"model": "a", "layers": [0, 2]}, {"model": "b", "layers": [0, 2]}]}
REFUSED: list[tuple[Recipe, list[str]]] = [
    (recipe("widen"), ["no method widen"]),
    (recipe("tsv_m"), ["no method tsv_m"]),
    (recipe(options={"election_weights": False}, models=DIFFERENT), ["election_weights false"]),
    (
        recipe(options={"election_weights": [True, False]}, models=DIFFERENT),
        ["election_weights false"],
    ),
    (recipe("dare_ties", {"rescale": "1/d", "density": 0.5}), ["rescale 1/d", "l1"]),
    (recipe("della", {"rescale": "1/p", "density": 0.5}), ["rescale 1/p", "l1"]),
    (recipe("della", {"density": 0.9, "epsilon": 0.3}), ["density 0.9 with epsilon 0.3"]),
    (recipe("della", {"density": 1.0, "epsilon": 0.3}), ["density 1 with epsilon 0.3"]),
    (recipe("model_stock", {"clamp": True}), ["clamp true"]),
    (recipe("arcee_fusion", {"fence": 2.0}), ["fence 2.0"]),
    (recipe("karcher", {"max_iter": [1, 9]}), ["schedule of max_iter"]),
    (recipe("karcher", models=DIFFERENT), ["weights of karcher"]),
    (recipe("nuslerp", {"per": ["row", "tensor"]}), ["schedule of per"]),
    (
        recipe(options={"density": [{"filter": "re:q_proj$", "value": 0.5}], **VOTES}),
        ["re:q_proj$"],
    ),
    (recipe(models=[{"model": "a", "weight": [{"filter": r"re:\d", "value": 0}]}]), [r"re:\d"]),
    (recipe("linear", models=models("a", "a")), ["a more than once"]),
    (recipe(models=models("base", "a")), ["base more than once"]),
    (
        recipe(
            "linear",
            models=models("a"),
            slices=[
                {"sources": [{"model": "a", "layers": [0, 2]}, {"model": "a", "layers": [1, 3]}]}
            ],
        ),
        ["a more than once in slices.1"],
    ),
    (
        recipe(slices=[{**SLICE, "options": {"election_weights": False}}], models=DIFFERENT),
        ["election_weights false"],
    ),
    (recipe(chat_template="none"), ["chat_template none"]),
    (recipe(chat_template="a"), ["chat_template a"]),
]


@pytest.mark.parametrize(("given", "parts"), REFUSED, ids=[str(parts) for _, parts in REFUSED])
def test_what_mergekit_cannot_express_is_refused_by_name(given: Recipe, parts: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        mergekit.export(given)
    said = str(caught.value)
    assert all(part in said for part in parts), said
    assert "\n" not in said and len(said) < 300 and said.endswith("."), said
