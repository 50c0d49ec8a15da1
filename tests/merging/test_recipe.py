"""Recipes: what is read, what is refused and how, what the hash covers."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from merging.errors import RecipeError
from merging.methods import METHODS
from merging.recipes.recipe import Constituent, Parent, Recipe

TEXT = """\
name: finance-instruct
method: task_arithmetic
base: sandbox/base
models:
  - {model: sandbox/finance, role: expert, weight: 1.0}
  - {model: sandbox/instruct, role: instruct, weight: 1}
options: {scale: 1}
dtype: bfloat16
"""
PRINT = "a" * 64


def make(method: str = "task_arithmetic", *models: str, **more: Any) -> Recipe:
    base = "base" if METHODS[method].needs_base == "required" else None
    listed = [{"model": model} for model in (models or ("a", "b"))]
    return Recipe(**{"method": method, "base": base, "models": listed, **more})


def test_reads_what_it_says() -> None:
    recipe = Recipe.from_yaml(TEXT)
    assert recipe.name == "finance-instruct"
    assert recipe.options == {"scale": 1.0, "normalize": False}
    assert recipe.models[1] == Constituent(model="sandbox/instruct", role="instruct", weight=1.0)
    assert recipe.parents == [
        Parent("sandbox/base", "base", None),
        Parent("sandbox/finance", "expert", 1.0),
        Parent("sandbox/instruct", "instruct", 1.0),
    ]
    assert recipe.config_donor == "sandbox/base"


@pytest.mark.parametrize("method", sorted(METHODS))
def test_yaml_gives_the_recipe_back(method: str) -> None:
    roles = METHODS[method].roles or ("expert", "expert")[: METHODS[method].max_models]
    recipe = Recipe(
        method=method,
        base="org/base" if METHODS[method].needs_base == "required" else None,
        models=[
            {"model": f"~/models/m{i}: x", "role": role, "weight": 0.1 + i, "fingerprint": PRINT}
            for i, role in enumerate(roles)
        ],
        dtype="float16",
        seed=2**63 - 1,
        name="名前 'quoted' #1",
        chat_template="none",
    )
    again = Recipe.from_yaml(recipe.to_yaml())
    assert again == recipe
    assert again.hash == recipe.hash
    assert "*" not in recipe.to_yaml() and "&" not in recipe.to_yaml()


def test_defaults_are_written_out() -> None:
    text = make("ties").to_yaml()
    for option in ("density: 0.2", "scale: 1.0", "election_weights: false", "normalize: true"):
        assert option in text


# (what stands in TEXT, what to put in its place, what the sentence must contain)
BAD: list[tuple[str, str, list[str]]] = [
    ("scale: 1", "scal: 1", ["scal", 'Did you mean "scale"', "task_arithmetic"]),
    ("scale: 1", f'"{"sc" * 400}\\n": 1', ["scsc", '..."']),
    ("scale: 1", "scale: 9", ["scale is 9", "0 to 5"]),
    ("scale: 1", "scale: -1", ["scale is -1", "0 to 5"]),
    ("scale: 1", "scale: x", ["scale must be a number", '"x"']),
    ("scale: 1", "scale: true", ["scale must be a number"]),
    ("scale: 1", "scale: .nan", ["scale must be a finite number"]),
    ("scale: 1", "scale: null", ["scale must be a number"]),
    ("{scale: 1}", "[1]", ["options must be keys and values"]),
    ("{scale: 1}", "{1: 2}", ["options"]),
    ("role: expert", "rle: expert", ['"rle"', 'Did you mean "role"']),
    ("role: expert", "role: exprt", ["exprt", "expert or instruct"]),
    ("method: task", "methd: task", ['"methd"', 'Did you mean "method"']),
    ("task_arithmetic", "taskarithmetic", ['Did you mean "task_arithmetic"']),
    ("task_arithmetic", "zzz", ["zzz", "linear", "dare_ties"]),
    ("task_arithmetic", "[linear]", ["method must be text"]),
    ("base: sandbox/base\n", "", ["needs a base"]),
    ("task_arithmetic", "linear", ["linear", '"scale"', "normalize"]),
    ("base: sandbox/base\n", "base: ''\n", ["base is empty"]),
    ("base: sandbox/base\n", 'base: "a\\nb"\n', ["base must be text without line breaks"]),
    ("base: sandbox/base\n", f"base: {'x' * 1001}\n", ["base is longer than 1000"]),
    ("dtype: bfloat16", "base_fingerprint: abc", ["base_fingerprint must be 64 hexadecimal"]),
    ("weight: 1.0", "weight: .inf", ["weight", "finite"]),
    ("weight: 1.0", "weight: '1'", ["weight must be a number"]),
    ("weight: 1.0", "weight: 1000", ["weight is 1000", "-100 to 100"]),
    ("bfloat16", "bf16", ["dtype", "bfloat16, float16 or float32"]),
    ("dtype: bfloat16", "seed: -1", ["seed is -1", "whole number"]),
    ("dtype: bfloat16", "seed: 1.5", ["seed must be a whole number"]),
    ("dtype: bfloat16", "seed: true", ["seed must be a whole number"]),
    ("dtype: bfloat16", "tokenizer: elsewhere", ["tokenizer", "elsewhere", "instruct"]),
    ("dtype: bfloat16", "chat_template: chatlm", ["chat_template", "none"]),
    ("dtype: bfloat16", "name: again", ['"name" appears twice', "line 8"]),
    ("weight: 1}", "weight: 1, weight: 2}", ['"weight" appears twice', "line 6"]),
    ("dtype: bfloat16", "x: &a [1]\ny: *a", ["alias", "line 9"]),
    ("dtype: bfloat16", "dtype: !!python/object:os.system x", ["not valid YAML"]),
    ("dtype: bfloat16", "when: 2026-02-30", ["cannot be read"]),
    ("dtype: bfloat16", f"seed: {'9' * 5000}", ["number", "cannot be read"]),
    ("weight: 1.0", "weight: 1e400", ["weight must be a finite number"]),
    ("dtype: bfloat16", "{", ["not valid YAML", "line"]),
    ("dtype: bfloat16", "? [a]\n: 1", ["line 8", "not a word"]),
    ("dtype: bfloat16", "7: x", ["7", "not a word"]),
    ("models:", "models: 3\nmore:", ['"more"']),
    (
        "  - {model: sandbox/finance, role: expert, weight: 1.0}",
        "  - sandbox/finance",
        ["models.1"],
    ),
    ("model: sandbox/finance", "model: 3", ["models.1.model must be text"]),
    ("model: sandbox/finance, ", "", ['lacks "models.1.model"']),
    ("method: task_arithmetic\n", "", ['lacks "method"']),
    ("method:", "merge_method:", ["key of a mergekit recipe", "base_model"]),
]


@pytest.mark.parametrize(("old", "new", "parts"), BAD, ids=[f"{old}->{new}" for old, new, _ in BAD])
def test_bad_input_gets_one_sentence(old: str, new: str, parts: list[str]) -> None:
    assert old in TEXT
    with pytest.raises(RecipeError) as caught:
        Recipe.from_yaml(TEXT.replace(old, new))
    text = str(caught.value)
    assert all(part in text for part in parts), text
    assert "\n" not in text and len(text) < 320 and text.endswith((".", "?")), text
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "is empty"),
        ("just words", "keys and values"),
        ("- a list", "keys and values"),
        (b"\xff\xfe\x00", "UTF-8"),
        ("a: " + "[" * 50 + "]" * 50, "nested"),
        ("a: " + "[" * 100_000, "nested"),
        ("x: " + "y" * 300_000, "256 KB"),
        ("\x00", "not valid YAML"),
        ("a: 1\n---\nb: 2", "several documents; give each recipe by itself"),
    ],
)
def test_not_a_recipe_at_all(text: str | bytes, part: str) -> None:
    with pytest.raises(RecipeError, match=part):
        Recipe.from_yaml(text)


@pytest.mark.parametrize(
    ("method", "models", "part"),
    [
        ("slerp", ["a"], "takes 2"),
        ("slerp", ["a", "b", "c"], "the recipe has 3"),
        ("linear", [], "the recipe has 0"),
        ("instruction_residual", ["a", "b"], "one model of each role expert and instruct"),
    ],
)
def test_counts_and_roles(method: str, models: list[str], part: str) -> None:
    with pytest.raises(RecipeError, match=part):
        make(method, models=[{"model": model} for model in models])


def test_a_base_where_none_is_taken() -> None:
    for method in ("linear", "slerp"):
        with pytest.raises(RecipeError, match=f'{method} takes no base: move "here" to the models'):
            make(method, base="here")


def test_weights_that_cancel_are_refused() -> None:
    models = [{"model": "a", "weight": 1.0}, {"model": "b", "weight": -1.0}]
    with pytest.raises(RecipeError, match="add up to 0"):
        make("linear", models=models)
    make("linear", models=models, options={"normalize": False})


def test_one_reference_is_one_model() -> None:
    models = [{"model": "a", "revision": "x"}, {"model": "a", "revision": "y"}]
    with pytest.raises(RecipeError, match="twice"):
        make(models=models)


def test_hash_covers_what_changes_the_result_and_nothing_else() -> None:
    recipe = Recipe.from_yaml(TEXT)
    assert recipe.hash == Recipe.from_yaml(TEXT.replace("finance-instruct", "other")).hash
    assert recipe.hash == Recipe.from_yaml(TEXT.replace("options: {scale: 1}\n", "")).hash
    # a method without random numbers does not care for the seed
    assert recipe.hash == Recipe.from_yaml(TEXT + "seed: 3").hash
    lines = TEXT.splitlines(keepends=True)
    assert (
        recipe.hash == Recipe.from_yaml("".join([*lines[:4], lines[5], lines[4], *lines[6:]])).hash
    )
    changed = {
        Recipe.from_yaml(TEXT.replace(old, new)).hash
        for old, new in [
            ("scale: 1", "scale: 1.5"),
            ("weight: 1.0", "weight: 0.5"),
            ("bfloat16", "float32"),
            ("sandbox/finance", "sandbox/math"),
            ("sandbox/base", "sandbox/other"),
            ("task_arithmetic", "dare_linear"),
            ("dtype:", "tokenizer: base\ndtype:"),
            ("dtype:", "chat_template: none\ndtype:"),
        ]
    }
    assert len(changed) == 8 and recipe.hash not in changed
    dare = TEXT.replace("task_arithmetic", "dare_linear")
    assert Recipe.from_yaml(dare).hash != Recipe.from_yaml(dare + "seed: 3").hash


def test_weights_do_not_count_where_they_are_not_used() -> None:
    one = make("slerp", models=[{"model": "a", "weight": 2.0}, {"model": "b"}])
    assert one.hash == make("slerp").hash
    assert one.hash != make("slerp", "b", "a").hash


def test_pinned_by_fingerprint_the_name_of_a_model_no_longer_counts() -> None:
    here = make("ties", "a", "b").pinned({"base": PRINT, "a": "b" * 64, "b": "c" * 64})
    there = make("ties", "x/a", "x/b").pinned({"base": PRINT, "x/a": "b" * 64, "x/b": "c" * 64})
    assert here.hash == there.hash
    assert here.base_fingerprint == PRINT
    assert here.identity("a") == "b" * 64
    assert Recipe.from_yaml(here.to_yaml()) == here


def test_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        make().seed = 3  # type: ignore[misc]


def test_pages_read_methods_and_recipes_without_torch() -> None:
    code = (
        "import merging, merging.methods, merging.recipes.recipe, merging.planning.plan, sys; "
        "assert not {'torch', 'transformers', 'numpy'} & set(sys.modules), 'too much'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_number_with_an_exponent_needs_no_point() -> None:
    recipe = Recipe.from_yaml(TEXT.replace("weight: 1.0", "weight: 25e-2"))
    assert recipe.models[0].weight == 0.25


def test_the_hash_knows_models_of_tokens_by_their_content() -> None:
    def recipe(name: str) -> Recipe:
        return Recipe(
            method="linear",
            models=[{"model": name, "fingerprint": "a" * 64}, {"model": "other"}],
            tokens={"<|im_end|>": {"source": name}},
        )

    assert recipe("one").hash == recipe("two").hash
    assert recipe("one").hash != recipe("one").model_copy(update={"tokens": {}}).hash
