"""Recipes, mergekit's recipes, schedules and patterns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from merging.errors import MergingError
from merging.methods import METHODS
from merging.recipes import schedules
from merging.recipes.patterns import compile_pattern
from merging.recipes.recipe import Recipe
from tests.fuzz.judged import in_time, inputs, judge, seen
from tests.fuzz.texts import documents, leaves

PROJECT = Path(__file__).resolve().parents[2]
OURS = [yaml.safe_load(path.read_text()) for path in sorted((PROJECT / "recipes").glob("*.yaml"))]
OURS += [
    {"method": name, "base": "sandbox/base", "models": [{"model": "a"}, {"model": "b"}]}
    for name in METHODS
]
MERGEKIT: list[Any] = [
    {
        "merge_method": "ties",
        "base_model": "org/base",
        "dtype": "bfloat16",
        "models": [
            {"model": "org/a", "parameters": {"weight": 0.5, "density": [0.1, 0.9]}},
            {"model": {"model": {"path": "org/b", "revision": "x"}, "lora": None}},
        ],
        "parameters": {"normalize": True, "int8_mask": True},
    },
    {
        "merge_method": "passthrough",
        "slices": [
            {"sources": [{"model": "org/a", "layer_range": [0, 24]}]},
            {
                "sources": [
                    {
                        "model": "org/b",
                        "layer_range": [8, 32],
                        "parameters": {
                            "scale": [{"filter": "down_proj", "value": 0}, {"value": 1}]
                        },
                    }
                ]
            },
        ],
    },
    {
        "merge_method": "slerp",
        "base_model": "a",
        "slices": [
            {
                "sources": [
                    {"model": "a", "layer_range": [0, 32]},
                    {"model": "b", "layer_range": [0, 32]},
                ]
            }
        ],
        "parameters": {"t": [{"filter": "self_attn", "value": [0, 0.5, 1]}, {"value": 0.5}]},
        "tokenizer": {"source": "union", "tokens": {"<|im_end|>": {"source": "b", "force": True}}},
    },
]
KEYS = [
    *Recipe.model_fields,
    "merge_method",
    "base_model",
    "parameters",
    "slices",
    "sources",
    "layer_range",
    "tokenizer_source",
    "weight",
    "density",
    "lambda",
    "filter",
]
TENSORS = ("model.layers.3.self_attn.q_proj.weight", "lm_head.weight", "model.norm.weight")


def read(text: str) -> None:
    """As the Build page and the terminal do: read, resolve, hash, write, read again."""
    recipe = judge(lambda: Recipe.from_yaml(text), "recipe")
    if recipe is None:
        return
    judge(lambda: _resolve(recipe), "recipe resolved")
    judge(lambda: recipe.to_mergekit(), "recipe exported")
    written = recipe.to_yaml()
    again = judge(lambda: Recipe.from_yaml(written), "recipe read again")
    assert again is not None and again.hash == recipe.hash


def _resolve(recipe: Recipe) -> None:
    for setting in (*recipe.options.values(), *(one.weight for one in recipe.models)):
        schedules.in_words(setting)
        for name in TENSORS:
            schedules.resolve(setting, name, 0.3)


@inputs(80)
@given(documents(OURS, KEYS))
def test_recipes(text: str) -> None:
    read(text)


@inputs(60)
@given(documents(MERGEKIT, KEYS))
def test_recipes_of_mergekit(text: str) -> None:
    read(text)


@inputs(40)
@given(st.binary(max_size=200))
def test_bytes(content: bytes) -> None:
    judge(lambda: Recipe.from_yaml(content), "recipe of bytes")


pieces = st.sampled_from(
    [
        "a",
        ".",
        "\\w",
        "\\d",
        "[a-z]",
        "[^.]",
        "(a|b)",
        "(a|a)",
        "(?:x)",
        "(?=a)",
        "(?!b)",
        "(?<=a)",
        "*",
        "+",
        "?",
        "{2,}",
        "{0,9}",
        "{50}",
        "{60000}",
        "*?",
        "+?",
        "(",
        ")",
        "|",
        "^",
        "$",
        "\\b",
        "(?P<n>a)",
        "(?P=n)",
        "\\1",
        "(?i)",
        "(?>a+)",
        "a++",
        "\\.",
        "layers",
        "(?:)",
        "\\Z",
        "(?(1)a|b)",
    ]
)


@inputs(150)
@given(st.lists(pieces, max_size=14).map("".join))
def test_patterns_end_soon(pattern: str) -> None:
    """What is taken as a pattern searches any name within moments."""
    try:
        with in_time():
            compiled = compile_pattern(pattern)
    except ValueError:
        return
    seen["pattern"] += 1
    for text in ("a" * 200, "ab" * 100, "model.layers.10.mlp.down_proj.weight", "x" * 100 + "!"):
        with in_time(1):
            compiled.search(text)


@inputs(60)
@given(st.lists(leaves, max_size=1100), st.booleans())
def test_schedules(points: list[Any], filtered: bool) -> None:
    """However long and whatever in it."""
    setting = [{"filter": "mlp", "value": points}, {"value": 0.5}] if filtered else points

    def made() -> Recipe:
        models = [{"model": "a", "weight": setting}, {"model": "b"}]
        return Recipe(method="linear", models=models)

    recipe = judge(made, "schedule")
    if recipe is not None:
        _resolve(recipe)


def test_a_hundred_thousand_slices_and_a_million_points_are_refused_in_a_sentence() -> None:
    part = {"sources": [{"model": "a", "layer_range": [0, 1]}]}
    for data in (
        {"method": "passthrough", "models": [{"model": "a"}], "slices": [part] * 10_000},
        {
            "method": "passthrough",
            "models": [{"model": "a"}],
            "slices": [{"sources": [{"model": "a", "layer_range": [0, 10**9]}]}],
        },
        {"method": "linear", "models": [{"model": "a", "weight": [0.5] * 1_000_000}]},
        {"method": "linear", "models": [{"model": "a"}] * 100_000},
    ):
        try:
            with in_time():
                Recipe(**data)
        except MergingError as error:
            assert len(str(error)) < 300
        else:
            raise AssertionError(f"{str(data)[:80]} was taken")
