"""Merges end to end: the numbers, the bytes, the events."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from merging.checkpoints.fingerprints import fingerprint
from merging.engine import merge_to_folder
from merging.errors import MergeFailure, ModelError, RecipeError
from merging.methods import METHODS
from merging.methods.draws import Draws, key_of
from merging.recipes.recipe import Recipe
from tests.merging.models import finish, stored

FINANCE_INSTRUCT = {
    "method": "task_arithmetic",
    "base": "base",
    "models": [{"model": "finance"}, {"model": "instruct", "role": "instruct"}],
}


def recipe_of(method: str, **more: Any) -> Recipe:
    chosen = METHODS[method]
    listed = [
        {"model": "finance", "weight": 0.75},
        {"model": "instruct", "role": "instruct", "weight": 0.5},
    ]
    base = "base" if chosen.needs_base == "required" else None
    return Recipe(**{"method": method, "base": base, "models": listed[: chosen.max_models], **more})


def merge(recipe: Recipe, folders: Mapping[str, Path], out: Path, **more: Any) -> Path:
    _, result = finish(merge_to_folder(recipe, folders, out, device="cpu", **more))
    assert result == out
    return out


def content(folder: Path) -> dict[str, str]:
    """Every file of a folder with a hash of its bytes."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_task_arithmetic_is_what_it_says(family: dict[str, Path], tmp_path: Path) -> None:
    out = merge(Recipe(**FINANCE_INSTRUCT, options={"scale": 0.5}), family, tmp_path / "out")
    base, finance, instruct = (stored(family[name]) for name in ("base", "finance", "instruct"))
    merged = stored(out)
    assert set(merged) == set(base)
    for name, tensor in merged.items():
        b, f, i = (part[name].double() for part in (base, finance, instruct))
        expected = b + 0.5 * ((f - b) + (i - b))
        assert tensor.dtype == torch.bfloat16 and tensor.shape == base[name].shape
        torch.testing.assert_close(tensor.double(), expected, rtol=2**-8, atol=1e-6)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_merges_alike_in_any_chunks_threads_and_shards(
    method: str, family: dict[str, Path], tmp_path: Path
) -> None:
    recipe = recipe_of(method, dtype="float32")
    whole = merge(recipe, family, tmp_path / "whole", threads=1)
    pieces = merge(recipe, family, tmp_path / "pieces", chunk_elements=37, threads=2)
    assert content(whole) == content(pieces)
    shards = merge(recipe, family, tmp_path / "shards", max_shard_bytes=4000)
    assert len(list(shards.glob("*.safetensors"))) > 2
    assert fingerprint(shards) == fingerprint(whole)
    assert all(tensor.isfinite().all() for tensor in stored(whole).values())


@pytest.mark.parametrize("method", [name for name in METHODS if not METHODS[name].ordered])
def test_the_order_of_models_changes_no_byte_and_not_the_hash(
    method: str, family: dict[str, Path], tmp_path: Path
) -> None:
    base = "base" if METHODS[method].needs_base == "required" else None
    listed = [{"model": name, "weight": 0.3} for name in ("finance", "math")]
    listed.append({"model": "instruct", "role": "instruct", "weight": 0.4})
    listed = listed[-(METHODS[method].max_models or 3) :]
    one = Recipe(method=method, base=base, models=listed)
    other = Recipe(method=method, base=base, models=listed[::-1])
    assert one.hash == other.hash
    first = merge(one, family, tmp_path / "one")
    second = merge(other, family, tmp_path / "other")
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


def test_masks_depend_neither_on_other_models_nor_on_names(
    family: dict[str, Path], tmp_path: Path
) -> None:
    """A third model with weight 0 changes nothing; nor does calling a folder otherwise."""
    two = Recipe(
        method="dare_linear", base="base", models=[{"model": "finance"}, {"model": "math"}]
    )
    three = Recipe(
        method="dare_linear",
        base="base",
        models=[
            {"model": "instruct", "role": "instruct", "weight": 0.0},
            {"model": "finance"},
            {"model": "math"},
        ],
    )
    first = stored(merge(two, family, tmp_path / "two"))
    second = stored(merge(three, family, tmp_path / "three"))
    assert all(first[name].equal(second[name]) for name in first)
    renamed = {"b": family["base"], "x": family["finance"], "y": family["math"]}
    same = Recipe(method="dare_linear", base="b", models=[{"model": "x"}, {"model": "y"}])
    third = stored(merge(same, renamed, tmp_path / "renamed"))
    assert all(first[name].equal(third[name]) for name in first)
    other = Recipe(**{**two.model_dump(), "seed": 1})
    fourth = stored(merge(other, family, tmp_path / "seeded"))
    assert not all(first[name].equal(fourth[name]) for name in first)


def test_dare_uses_the_mask_of_seed_fingerprint_and_tensor(
    family: dict[str, Path], tmp_path: Path
) -> None:
    recipe = Recipe(
        method="dare_linear", base="base", models=[{"model": "math"}], dtype="float32", seed=5
    )
    out = stored(merge(recipe, family, tmp_path / "out", chunk_elements=100))
    name = "model.layers.0.mlp.down_proj.weight"
    base, math = stored(family["base"])[name].float(), stored(family["math"])[name].float()
    key = key_of(5, fingerprint(family["math"]), name)
    kept = Draws([key], 0, base.numel()).kept(0, 0.5, base).view(base.shape)
    torch.testing.assert_close(out[name], base + 2 * kept * (math - base))


def test_the_recipe_inside_rebuilds_the_same_bytes(family: dict[str, Path], tmp_path: Path) -> None:
    first = merge(recipe_of("dare_ties", name="x", seed=9), family, tmp_path / "first")
    pinned = Recipe.from_yaml((first / "recipe.yaml").read_text())
    assert pinned.base_fingerprint == fingerprint(family["base"])
    second = merge(pinned, family, tmp_path / "second")
    assert content(first) == content(second)


def test_a_pinned_recipe_refuses_other_weights(family: dict[str, Path], tmp_path: Path) -> None:
    pinned = Recipe(**FINANCE_INSTRUCT).pinned({"finance": "0" * 64})
    with pytest.raises(ModelError, match="finance does not hold the weights"):
        merge(pinned, family, tmp_path / "out")


def test_the_file_is_ordinary_safetensors(family: dict[str, Path], tmp_path: Path) -> None:
    recipe = Recipe(**FINANCE_INSTRUCT)
    out = merge(recipe, family, tmp_path / "out")
    with safe_open(out / "model.safetensors", framework="numpy") as file:
        assert file.metadata()["format"] == "pt"
        pinned = Recipe.from_yaml((out / "recipe.yaml").read_text())
        assert file.metadata()["crucible_recipe"] == pinned.hash
    shards = merge(recipe, family, tmp_path / "shards", max_shard_bytes=4000)
    index = json.loads((shards / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in stored(shards).values())
    for name, file_name in index["weight_map"].items():
        with safe_open(shards / file_name, framework="pt") as file:
            assert name in file.keys()  # noqa: SIM118 - safe_open is no mapping


def test_a_model_may_be_merged_with_itself(family: dict[str, Path], tmp_path: Path) -> None:
    recipe = Recipe(method="linear", models=[{"model": "math"}, {"model": "math", "weight": 3.0}])
    out = stored(merge(recipe, family, tmp_path / "out"))
    before = stored(family["math"])
    assert all(out[name].equal(before[name]) for name in before)


def test_the_config_donor_is_fixed_by_the_recipe(family: dict[str, Path], tmp_path: Path) -> None:
    """Without a base, config and tokenizer come from instruct, else from the first model."""
    first = merge(recipe_of("linear"), family, tmp_path / "one")
    assert json.loads((first / "config.json").read_text())["eos_token_id"] == 2
    models_only = [{"model": "finance"}, {"model": "math"}]
    assert Recipe(method="linear", models=models_only).config_donor == "finance"
    swapped = Recipe(method="linear", models=models_only[::-1])
    assert swapped.config_donor == "math"
    assert swapped.hash != Recipe(method="linear", models=models_only).hash


def test_events(family: dict[str, Path], tmp_path: Path) -> None:
    events, _ = finish(merge_to_folder(Recipe(**FINANCE_INSTRUCT), family, tmp_path / "out"))
    assert [event["stage"] for event in events if event["kind"] == "stage"] == [
        "Reading the parents",
        "Merging",
        "Finishing",
    ]
    progress = [event for event in events if event["kind"] == "progress"]
    assert [event["done"] for event in progress] == list(range(1, len(progress) + 1))
    assert progress[-1]["done"] == progress[-1]["total"] == len(stored(family["base"]))
    assert progress[-1]["fraction"] == 1.0
    result = events[-1]
    assert result["kind"] == "result" and result["path"] == str(tmp_path / "out")
    assert result["size_bytes"] == sum(t.nbytes for t in stored(tmp_path / "out").values())
    json.dumps(events)


def test_a_model_that_was_not_found(family: dict[str, Path], tmp_path: Path) -> None:
    folders = {"base": family["base"]}
    with pytest.raises(RecipeError, match='"finance" has not been found'):
        merge(Recipe(**FINANCE_INSTRUCT), folders, tmp_path / "out")


def test_no_such_device(family: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(MergeFailure, match='no device "warp"'):
        finish(merge_to_folder(Recipe(**FINANCE_INSTRUCT), family, tmp_path / "out", device="warp"))
