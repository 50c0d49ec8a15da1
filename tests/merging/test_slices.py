"""Results put together from ranges of layers: real files, loaded by transformers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from merging.errors import ModelError, RecipeError
from merging.planning.plan import plan
from merging.recipes.recipe import Recipe
from tests.merging import mergekit_process, models
from tests.merging.models import Tensors, stored
from tests.merging.test_engine import merge

EMBEDDING, HEAD, NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"
Q = "self_attn.q_proj.weight"


@pytest.fixture(scope="module")
def parents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Four layers each, float32: a base and three models tuned from it."""
    return mergekit_process.family(tmp_path_factory.mktemp("slices"))


@pytest.fixture
def made(parents: dict[str, Path], tmp_path: Path) -> Callable[..., Path]:
    def make(method: str, slices: list[Any], **more: Any) -> Path:
        return merge(recipe(method, slices, **more), parents, tmp_path / "out")

    return make


def recipe(method: str, slices: list[Any], **more: Any) -> Recipe:
    """A recipe of slices, each a list of (model, first layer, end) or a mapping."""
    parts = [
        one
        if isinstance(one, dict)
        else {"sources": [{"model": name, "layers": layers} for name, *layers in one]}
        for one in slices
    ]
    used = [source["model"] for part in parts for source in part["sources"]]
    used += [part["base"]["model"] for part in parts if "base" in part]
    listed = [{"model": name} for name in dict.fromkeys(used) if name != more.get("base")]
    return Recipe(**{"method": method, "models": listed, "slices": parts, **more})


def layer(number: int, rest: str = Q) -> str:
    return f"model.layers.{number}.{rest}"


def config_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return found


def test_a_stack_of_layers_computes_what_its_layers_compute(
    parents: dict[str, Path], made: Callable[..., Path]
) -> None:
    """Against transformers' own layers of both models, called one after the other."""
    from transformers import AutoModelForCausalLM

    out = made("passthrough", [[("a", 0, 3)], [("b", 1, 4)]])
    first, second, stack = (
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        for folder in (parents["a"], parents["b"], out)
    )
    assert stack.config.num_hidden_layers == len(stack.model.layers) == 6
    ids = torch.arange(3, 20)[None]
    with torch.no_grad():
        hidden = first.model.embed_tokens(ids)
        places = torch.arange(17)[None]
        turns = first.model.rotary_emb(hidden, places)
        before = torch.full((17, 17), float("-inf")).triu(1)[None, None]
        for part in (*first.model.layers[0:3], *second.model.layers[1:4]):
            hidden = part(
                hidden, attention_mask=before, position_ids=places, position_embeddings=turns
            )
            hidden = hidden if isinstance(hidden, torch.Tensor) else hidden[0]
        expected = second.lm_head(second.model.norm(hidden))
        torch.testing.assert_close(stack(ids).logits, expected, rtol=1e-5, atol=1e-5)


def test_what_is_outside_of_the_layers_comes_from_the_first_and_the_last_slice(
    parents: dict[str, Path], made: Callable[..., Path]
) -> None:
    out = stored(made("passthrough", [[("a", 0, 1)], [("b", 0, 1)], [("c", 2, 4)]]))
    a, b, c = (stored(parents[name]) for name in "abc")
    assert out[EMBEDDING].equal(a[EMBEDDING])
    assert out[NORM].equal(c[NORM]) and out[HEAD].equal(c[HEAD])
    assert out[layer(0)].equal(a[layer(0)]) and out[layer(1)].equal(b[layer(0)])
    assert out[layer(3)].equal(c[layer(3)])
    assert len(out) == 3 + 4 * 9


def test_one_model_twice_becomes_deeper(
    parents: dict[str, Path], made: Callable[..., Path]
) -> None:
    folder = made("passthrough", [[("a", 0, 4)], [("a", 1, 4)], [("a", 3, 4)]])
    out, a = stored(folder), stored(parents["a"])
    assert config_of(folder)["num_hidden_layers"] == 8
    for number, source in enumerate([0, 1, 2, 3, 1, 2, 3, 3]):
        assert out[layer(number)].equal(a[layer(source)])


def test_layers_of_one_model_are_merged_with_each_other(
    parents: dict[str, Path], made: Callable[..., Path]
) -> None:
    part = {
        "sources": [
            {"model": "a", "layers": [0, 2], "weight": 3.0},
            {"model": "a", "layers": [2, 4], "weight": 1.0},
        ]
    }
    out, a = stored(made("linear", [part])), stored(parents["a"])
    for number in (0, 1):
        expected = (3 * a[layer(number)] + a[layer(number + 2)]) / 4
        torch.testing.assert_close(out[layer(number)], expected)
    torch.testing.assert_close(out[NORM], a[NORM])


def delta(one: Tensors, base: Tensors, number: int, below: int) -> torch.Tensor:
    return one[layer(number)] - base[layer(below)]


def test_every_slice_may_have_other_layers_and_another_model_as_base(
    parents: dict[str, Path], made: Callable[..., Path]
) -> None:
    first = {
        "sources": [
            {"model": "a", "layers": [0, 2], "weight": 0.5},
            {"model": "b", "layers": [1, 3]},
        ],
        "base": {"model": "base", "layers": [2, 4]},
    }
    second = {
        "sources": [{"model": "b", "layers": [3, 4]}],
        "base": {"model": "c", "layers": [0, 1]},
        "options": {"scale": 0.25},
    }
    out = stored(made("task_arithmetic", [first, second], base="base"))
    base, a, b, c = (stored(parents[name]) for name in ("base", "a", "b", "c"))
    expected = base[layer(3)] + 0.5 * delta(a, base, 1, 3) + delta(b, base, 2, 3)
    torch.testing.assert_close(out[layer(1)], expected)
    torch.testing.assert_close(out[layer(2)], c[layer(0)] + 0.25 * delta(b, c, 3, 0))
    # outside of the layers the bases are those of the first and of the last slice
    torch.testing.assert_close(out[HEAD], c[HEAD] + 0.25 * (b[HEAD] - c[HEAD]))


def test_a_gradient_goes_from_the_first_to_the_last_layer_of_its_slice(
    parents: dict[str, Path], made: Callable[..., Path]
) -> None:
    gradient = {"scale": [0.0, 1.0]}
    parts = [
        {"sources": [{"model": "a", "layers": [0, 3]}], "options": gradient},
        {"sources": [{"model": "a", "layers": [3, 4]}], "options": gradient},
    ]
    out, a = stored(made("passthrough", parts)), stored(parents["a"])
    # a slice of one layer is at the end of its gradient, what is outside at the beginning
    for number, scale in enumerate([0.0, 0.5, 1.0, 1.0]):
        assert out[layer(number)].equal(a[layer(number)] * scale)
    assert not out[EMBEDDING].any() and not out[HEAD].any()


def test_a_slice_without_options_has_the_recipes(
    parents: dict[str, Path], made: Callable[..., Path]
) -> None:
    part = {"sources": [{"model": "a", "layers": [0, 1], "options": {"scale": 2.0}}]}
    filters = [{"filter": "layers.2.", "value": 3.0}, {"value": 0.5}]
    out = stored(
        made("passthrough", [part, [("a", 2, 4)]], options={"scale": filters}),
    )
    a = stored(parents["a"])
    # the filters mean the tensor's name in the model that it comes from
    for number, (source, scale) in enumerate([(0, 2.0), (2, 3.0), (3, 0.5)]):
        assert out[layer(number)].equal(a[layer(source)] * scale)


def test_masks_of_a_layer_that_is_there_twice_differ(
    parents: dict[str, Path], made: Callable[..., Path]
) -> None:
    options = {"density": 0.5, "rescale": "none"}
    part = [("a", 1, 2)]
    out = stored(made("dare_linear", [part, part, part], base="base", options=options))
    a, base = stored(parents["a"]), stored(parents["base"])
    masks = [(out[layer(number)] - base[layer(1)]).abs() > 1e-6 for number in (0, 1, 2)]
    changed = delta(a, base, 1, 1).abs() > 1e-5
    for one, other in ((0, 1), (1, 2), (0, 2)):
        alike = (masks[one] == masks[other])[changed].double().mean()
        assert 0.3 < alike < 0.7


def test_settings_per_layer_follow_their_layers(tmp_path: Path) -> None:
    kinds = {
        "a": ["full_attention", "sliding_attention", "full_attention", "sliding_attention"],
        "b": ["sliding_attention"] * 4,
    }
    folders = {
        name: models.write_model(
            tmp_path / name,
            mergekit_process.deep(seed),
            changes={"num_hidden_layers": 4, "layer_types": kinds[name]},
        )
        for seed, name in enumerate(kinds)
    }
    given = recipe("passthrough", [[("a", 0, 2)], [("a", 1, 3)], [("a", 3, 4)]])
    config = config_of(merge(given, {"a": folders["a"]}, tmp_path / "out"))
    assert config["num_hidden_layers"] == 5
    assert config["layer_types"] == [kinds["a"][place] for place in (0, 1, 1, 2, 3)]


def test_models_of_other_depths_are_stacked(parents: dict[str, Path], tmp_path: Path) -> None:
    shallow = models.write_model(tmp_path / "s", models.weights(9), dtype=torch.float32)
    given = recipe("passthrough", [[("a", 0, 4)], [("s", 1, 2)]])
    folders = {**parents, "s": shallow}
    assert plan(given, folders).ok
    out = stored(merge(given, folders, tmp_path / "out"))
    assert out[layer(4)].equal(stored(shallow)[layer(1)])


@pytest.mark.parametrize(
    ("slices", "said"),
    [
        ([[("a", 0, 5)]], "slices.1 reaches to layer 5 of a, which has 4 layers"),
        ([[("a", 0, 1)], [("a", 9, 12)]], "slices.2 reaches to layer 12 of a"),
    ],
)
def test_layers_that_are_not_there(
    slices: list[Any], said: str, parents: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=said):
        merge(recipe("passthrough", slices), parents, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_layers_of_the_base_that_are_not_there(parents: dict[str, Path], tmp_path: Path) -> None:
    part = {
        "sources": [{"model": "a", "layers": [0, 2]}],
        "base": {"model": "base", "layers": [3, 5]},
    }
    with pytest.raises(RecipeError, match="slices.1 reaches to layer 5 of base"):
        merge(recipe("ties", [part], base="base"), parents, tmp_path / "out")


def test_layers_of_other_shapes_do_not_go_together(
    parents: dict[str, Path], tmp_path: Path
) -> None:
    wide = {
        name: torch.randn([2 * size for size in tensor.shape])
        for name, tensor in models.weights(3).items()
    }
    folder = models.write_model(
        tmp_path / "wide", wide, changes={"hidden_size": 32, "intermediate_size": 48}
    )
    given = recipe("passthrough", [[("a", 0, 2)], [("wide", 0, 2)]])
    with pytest.raises((ModelError, RecipeError)):
        merge(given, {**parents, "wide": folder}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


REFUSED = [
    ([[("a", 2, 2)]], {}, "the second number must be the larger one"),
    ([[("a", 0, 2), ("b", 0, 1)]], {"method": "linear"}, "take as many of each"),
    ([[("a", 0, 2)]], {"models": [{"model": "a"}, {"model": "b"}]}, "No slice takes layers of b"),
    ([[("a", 0, 2)]], {"models": [{"model": "b"}]}, "a, which is not among the models"),
    ([{"sources": []}], {"models": [{"model": "a"}]}, "slices.1 has no sources"),
    ([[("a", 0, 1500)], [("a", 0, 1500)]], {}, "3000 layers; 2000 are the most"),
    ([[("a", 0, 10**12)]], {}, "slices"),
    ([[("a", -1, 2)]], {}, "slices"),
    (
        [{"sources": [{"model": "a", "layers": [0, 1]}], "base": {"model": "b", "layers": [0, 1]}}],
        {"method": "ties", "base": "base", "models": [{"model": "a"}]},
        "neither the recipe's base nor among the models",
    ),
    (
        [{"sources": [{"model": "a", "layers": [0, 1]}], "base": {"model": "a", "layers": [0, 1]}}],
        {},
        "slices.1 has a base; the recipe has none",
    ),
]


@pytest.mark.parametrize(("slices", "more", "said"), REFUSED, ids=[said for *_, said in REFUSED])
def test_slices_that_make_no_sense(slices: list[Any], more: dict[str, Any], said: str) -> None:
    given = {"method": "passthrough", **more}
    with pytest.raises(RecipeError) as caught:
        recipe(given.pop("method"), slices, **given)
    assert said in str(caught.value) and "\n" not in str(caught.value)
