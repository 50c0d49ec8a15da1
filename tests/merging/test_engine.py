"""Merges end to end: the numbers, the bytes, the events."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from merging.engine import merge_to_folder
from merging.errors import MergeFailure, ModelError, RecipeError
from merging.fingerprints import fingerprint
from merging.methods import METHODS
from merging.methods.draws import Draws, key_of
from merging.recipe import Recipe
from tests.merging import models
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
    return Recipe(**{"method": method, "base": base, "models": listed, **more})


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


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", None])
def test_dtypes_of_the_result(dtype: str | None, family: dict[str, Path], tmp_path: Path) -> None:
    out = merge(Recipe(**FINANCE_INSTRUCT, dtype=dtype), family, tmp_path / "out")
    wanted = dtype or "bfloat16"
    assert {str(tensor.dtype) for tensor in stored(out).values()} == {f"torch.{wanted}"}
    assert json.loads((out / "config.json").read_text())["dtype"] == wanted


def test_parents_of_different_dtypes(tmp_path: Path) -> None:
    base = models.weights(0)
    folders = {
        "base": models.write_model(tmp_path / "base", base, dtype=torch.float32),
        "half": models.write_model(tmp_path / "half", models.tuned(base, 1), dtype=torch.float16),
        "brain": models.write_model(tmp_path / "brain", models.tuned(base, 2)),
        "double": models.write_model(
            tmp_path / "double", models.tuned(base, 3), dtype=torch.float64
        ),
    }
    listed = [{"model": name} for name in ("half", "brain", "double")]
    out = stored(
        merge(Recipe(method="task_arithmetic", base="base", models=listed), folders, tmp_path / "o")
    )
    parts = {name: stored(folder) for name, folder in folders.items()}
    for name, tensor in out.items():
        assert tensor.dtype == torch.float32
        b = parts["base"][name].double()
        expected = b + sum(parts[one][name].double() - b for one in ("half", "brain", "double"))
        torch.testing.assert_close(tensor.double(), expected, rtol=1e-5, atol=1e-6)


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


def test_tied_models_stay_tied_and_mixed_ones_get_a_head(tmp_path: Path) -> None:
    base = models.weights(0, tied=True)
    folders = {
        "base": models.write_model(tmp_path / "base", base),
        "tied": models.write_model(tmp_path / "tied", models.tuned(base, 1)),
    }
    recipe = Recipe(method="task_arithmetic", base="base", models=[{"model": "tied"}])
    out = merge(recipe, folders, tmp_path / "out")
    assert "lm_head.weight" not in stored(out)
    assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is True

    head = {"lm_head.weight": base["model.embed_tokens.weight"] + 1.0}
    folders["untied"] = models.write_model(tmp_path / "untied", {**base, **head})
    mixed = Recipe(method="task_arithmetic", base="base", models=[{"model": "untied"}])
    events, out = finish(merge_to_folder(mixed, folders, tmp_path / "mixed", device="cpu"))
    assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is False
    merged = stored(out)
    rounded = base["model.embed_tokens.weight"].bfloat16()
    assert merged["model.embed_tokens.weight"].equal(rounded)
    torch.testing.assert_close(merged["lm_head.weight"], head["lm_head.weight"].bfloat16())
    assert any("tie" in event["text"] for event in events if event["kind"] == "warning")


def test_integer_tensors_are_copied_when_equal_and_refused_when_not(tmp_path: Path) -> None:
    base = models.weights(0)
    whole = {"model.steps": torch.arange(5), "model.mask": torch.tensor([True, False, True])}
    folders = {
        "base": models.write_model(tmp_path / "base", {**base, **whole}),
        "same": models.write_model(tmp_path / "same", {**models.tuned(base, 1), **whole}),
        "other": models.write_model(
            tmp_path / "other", {**base, **whole, "model.steps": torch.arange(5) + 1}
        ),
    }
    out = stored(
        merge(
            Recipe(method="ties", base="base", models=[{"model": "same"}]), folders, tmp_path / "o"
        )
    )
    assert all(out[name].equal(tensor) for name, tensor in whole.items())
    with pytest.raises(ModelError, match=r"model.steps holds whole numbers.*base and other"):
        merge(
            Recipe(method="ties", base="base", models=[{"model": "other"}]), folders, tmp_path / "p"
        )
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_infinity_in_a_parent(
    method: str, value: float, family: dict[str, Path], tmp_path: Path
) -> None:
    broken = stored(family["finance"])
    broken["model.layers.1.mlp.up_proj.weight"][3, 5] = value
    folders = {**family, "finance": models.write_model(tmp_path / "broken", broken)}
    kind = "NaN" if np.isnan(value) else "an infinite value"
    with pytest.raises(
        ModelError, match=rf"^finance holds {kind} in tensor model.layers.1.mlp.up_proj.weight\."
    ):
        merge(recipe_of(method), folders, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken"]


def test_a_result_that_its_dtype_cannot_hold(tmp_path: Path) -> None:
    base = models.weights(0)
    large = {name: tensor * 1e5 for name, tensor in base.items()}
    folders = {
        "a": models.write_model(tmp_path / "a", large),
        "b": models.write_model(tmp_path / "b", large),
    }
    recipe = Recipe(method="linear", models=[{"model": "a"}, {"model": "b"}], dtype="float16")
    with pytest.raises(MergeFailure, match="beyond what float16 can hold"):
        merge(recipe, folders, tmp_path / "out")
    assert not (tmp_path / "out").exists()


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
