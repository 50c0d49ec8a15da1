"""Merges whose parents come in every form at once: plain, fp8, adapters on a base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from merging.engine import merge_to_folder
from merging.errors import ModelError
from merging.formats.bases import base_wanted, open_model, split_reference
from merging.output.card import shown
from merging.planning.plan import plan
from merging.recipes.recipe import Recipe
from tests.merging import adapters, models

pytest.importorskip("peft")


@pytest.fixture
def parents(tmp_path: Path) -> dict[str, Path]:
    weights = models.weights(0)
    folders = {
        "base": models.write_model(tmp_path / "base", weights, dtype=torch.float32),
        "half": models.write_model(tmp_path / "half", models.tuned(weights, 1), dtype=torch.half),
        "lora": tmp_path / "lora",
    }
    adapters.train(folders["base"], folders["lora"])
    eight: dict[str, torch.Tensor] = {}
    for name, value in models.tuned(weights, 2).items():
        if name.endswith("proj.weight"):
            scale = value.abs().amax(dim=1, keepdim=True) / 448
            eight[name] = (value / scale).to(torch.float8_e4m3fn)
            eight[f"{name}_scale"] = scale
        else:
            eight[name] = value.bfloat16()
    settings = {"quant_method": "compressed-tensors", "format": "float-quantized"}
    folders["eight"] = models.write_model(
        tmp_path / "eight", eight, dtype=None, changes={"quantization_config": settings}
    )
    return folders


def recipe(*refs: str, base: str | None = "base", **more: Any) -> Recipe:
    return Recipe(
        method="task_arithmetic" if base else "linear",
        base=base,
        models=[{"model": ref, "weight": 0.5} for ref in refs],
        **more,
    )


def values(folders: dict[str, Path], ref: str) -> dict[str, torch.Tensor]:
    with open_model(ref, folders, recipe_base="base") as model:
        return {name: model.read(name).double() for name in model.tensors}


@pytest.mark.parametrize("threads", [1, 2])
def test_all_forms_in_one_merge(parents: dict[str, Path], tmp_path: Path, threads: int) -> None:
    refs = ("half", "lora", "eight")
    wish = recipe(*refs, dtype="float32")
    models.finish(merge_to_folder(wish, parents, tmp_path / "out", device="cpu", threads=threads))
    merged = models.stored(tmp_path / "out")
    theta = {ref: values(parents, ref) for ref in ("base", *refs)}
    assert set(merged) == set(theta["base"])
    for name, value in merged.items():
        taus = sum(0.5 * (theta[ref][name] - theta["base"][name]) for ref in refs)
        torch.testing.assert_close(value.double(), theta["base"][name] + taus, rtol=1e-5, atol=1e-6)


def test_the_chunk_size_changes_nothing(parents: dict[str, Path], tmp_path: Path) -> None:
    wish = recipe("lora", "eight", base=None)
    parents["org/base"] = parents["base"]
    models.change_json(parents["lora"] / "adapter_config.json", base_model_name_or_path="org/base")
    found = []
    for size in (100, 1 << 18):
        out = tmp_path / f"out{size}"
        models.finish(merge_to_folder(wish, parents, out, device="cpu", chunk_elements=size))
        found.append((out / "model.safetensors").read_bytes())
    assert found[0] == found[1]


def test_the_result_of_fp8_alone_is_a_plain_model(parents: dict[str, Path], tmp_path: Path) -> None:
    wish = Recipe(method="passthrough", models=[{"model": "eight"}])
    models.finish(merge_to_folder(wish, parents, tmp_path / "out", device="cpu"))
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert "quantization_config" not in config
    merged = models.stored(tmp_path / "out")
    eight = values(parents, "eight")
    assert set(merged) == set(eight)
    for name, value in merged.items():
        assert value.dtype == torch.bfloat16
        assert value.equal(eight[name].bfloat16())


def test_pinned_to_base_and_adapter(parents: dict[str, Path], tmp_path: Path) -> None:
    events, _ = models.finish(
        merge_to_folder(recipe("lora"), parents, tmp_path / "out", device="cpu")
    )
    pinned = Recipe.from_yaml(events[-1]["recipe"])
    models.finish(merge_to_folder(pinned, parents, tmp_path / "again", device="cpu"))
    assert models.stored(tmp_path / "out").keys() == models.stored(tmp_path / "again").keys()
    models.change_json(parents["lora"] / "adapter_config.json", lora_alpha=3)
    with pytest.raises(ModelError, match="lora does not hold the weights"):
        models.finish(merge_to_folder(pinned, parents, tmp_path / "third", device="cpu"))


def test_which_base_an_adapter_is_applied_to(parents: dict[str, Path]) -> None:
    """Before the plus, else the one it names, else the recipe's."""
    named = str(parents["base"])
    assert base_wanted("lora", parents["lora"]) == (named, None)
    assert base_wanted("half", parents["half"]) is None
    assert base_wanted("half+lora", parents["lora"]) == ("half", None)
    parents["half+lora"] = parents["lora"]

    def label_of_base(ref: str, recipe_base: str | None) -> str:
        with open_model(ref, parents, recipe_base=recipe_base) as model:
            return model.base.label  # type: ignore[attr-defined]

    assert label_of_base("half+lora", "base") == "half"
    assert label_of_base("lora", "half") == "half"
    with pytest.raises(ModelError, match=r"is not here\. Give both as BASE\+ADAPTER"):
        open_model("lora", parents)
    parents[named] = parents["base"]
    assert label_of_base("lora", "half") == named
    parents[named] = parents["lora"]
    with pytest.raises(ModelError, match="and so is its base"):
        open_model("lora", parents)


@pytest.mark.parametrize(
    ("ref", "halves"),
    [
        ("a+b", ("a", "b")),
        ("org/a+org/b", ("org/a", "org/b")),
        ("a+b+c", ("a+b", "c")),
        ("a", None),
        ("+a", None),
        ("a+", None),
    ],
)
def test_the_spelling_with_a_plus(ref: str, halves: tuple[str, str] | None) -> None:
    assert split_reference(ref) == halves


def test_the_check_says_what_an_adapter_is_applied_to(parents: dict[str, Path]) -> None:
    found = {check.title: check for check in plan(recipe("lora"), parents).checks}
    assert found["Adapter"].state == "ok" and "LoRA of rank 4" in found["Adapter"].detail
    models.change_json(
        parents["lora"] / "adapter_config.json", base_model_name_or_path="org/another"
    )
    found = {check.title: check for check in plan(recipe("lora"), parents).checks}
    assert found["Adapter"].state == "warn" and "org/another" in found["Adapter"].detail


@pytest.mark.parametrize(
    ("ref", "name"),
    [("/a/base+/b/lora", "base+lora"), ("org/a+org/b", "org/a+org/b"), ("/a/b+c", "b+c")],
)
def test_a_card_does_not_tell_where_folders_lie(ref: str, name: str) -> None:
    assert shown(ref) == name


@pytest.mark.parametrize("method", ["gptq", "awq", "bitsandbytes"])
def test_other_quantisations_are_refused_by_name(parents: dict[str, Path], method: str) -> None:
    models.change_json(
        parents["half"] / "config.json", quantization_config={"quant_method": method}
    )
    bad = [check for check in plan(recipe("half"), parents).checks if check.state == "bad"]
    assert f"quantised ({method})" in bad[0].detail
