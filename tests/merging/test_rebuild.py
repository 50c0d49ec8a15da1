"""Rebuild and verify: the same bytes, or the tensor that differs, and nothing is written."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from merging.engine import merge_to_folder
from merging.errors import ModelError
from merging.methods import METHODS
from merging.rebuild import rebuild
from merging.recipes.recipe import Recipe
from tests.merging import models
from tests.merging.models import finish


@pytest.fixture
def made(family: dict[str, Path], tmp_path: Path) -> Path:
    return merge("dare_ties", family, tmp_path / "made")


def merge(method: str, family: dict[str, Path], out: Path, **options: Any) -> Path:
    listed = [{"model": "finance"}, {"model": "math"}]
    if METHODS[method].roles:
        listed = [{"model": "finance"}, {"model": "instruct", "role": "instruct"}]
    recipe = Recipe(
        method=method,
        base=None if METHODS[method].needs_base == "forbidden" else "base",
        models=listed[: METHODS[method].max_models],
    )
    _, path = finish(merge_to_folder(recipe, family, out, **options))
    return Path(path)


def verdict(folder: Path, folders: dict[str, Path], **options: Any) -> dict[str, Any]:
    before = {path: path.stat().st_mtime_ns for path in folder.parent.rglob("*")}
    events, same = finish(rebuild(folder, folders, **options))
    assert {path: path.stat().st_mtime_ns for path in folder.parent.rglob("*")} == before
    assert events[-1]["same"] is same
    return events[-1]


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_is_rebuilt_in_other_chunks_and_threads(
    method: str, family: dict[str, Path], tmp_path: Path
) -> None:
    out = merge(method, family, tmp_path / "out", max_shard_bytes=3000)
    found = verdict(out, family, threads=2, chunk_elements=41)
    assert found["text"] == f"The recipe gives the same {found['tensors']} tensors, byte for byte."


def test_one_changed_bit_is_found(made: Path, family: dict[str, Path]) -> None:
    file = made / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    found = verdict(made, family)
    assert not found["same"]
    assert len(found["differing"]) == 1 and list(found["differing"].values()) == [1]
    assert next(iter(found["differing"])) in found["text"]


def test_the_first_of_several_is_named(made: Path, family: dict[str, Path]) -> None:
    tensors = load_file(made / "model.safetensors")
    tensors["model.norm.weight"] += 1
    tensors["model.embed_tokens.weight"][2, :3] += 1
    save_file(tensors, made / "model.safetensors")
    found = verdict(made, family)
    assert found["differing"] == {"model.embed_tokens.weight": 3, "model.norm.weight": 16}
    assert "model.embed_tokens.weight differs in 3 elements (2 of 21 tensors" in found["text"]


def test_other_tensors_than_the_recipe_makes(made: Path, family: dict[str, Path]) -> None:
    tensors = load_file(made / "model.safetensors")
    norm = tensors.pop("model.norm.weight")
    for more, words in (({}, "lacks"), ({"model.norm.weight": norm.float()}, "has otherwise")):
        save_file({**tensors, **more}, made / "model.safetensors")
        with pytest.raises(ModelError, match=f"made {words} model.norm.weight"):
            verdict(made, family)


def test_parents_that_are_missing_or_changed(
    made: Path, family: dict[str, Path], tmp_path: Path
) -> None:
    gone = {**family, "math": tmp_path / "gone"}
    with pytest.raises(ModelError, match="math: there is no folder"):
        verdict(made, gone)
    other = {**family, "math": models.write_model(tmp_path / "m", models.weights(9))}
    with pytest.raises(ModelError, match="math does not hold the weights the recipe is pinned to"):
        verdict(made, other)


def test_what_was_not_merged_here_cannot_be_rebuilt(
    made: Path, family: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="finance has no recipe.yaml"):
        verdict(family["finance"], family)
    copy = shutil.copytree(made, tmp_path / "copy")  # a moved folder is the same merge
    assert verdict(copy, family)["same"]


def test_an_edited_recipe_is_told_from_edited_weights(made: Path, family: dict[str, Path]) -> None:
    text = (made / "recipe.yaml").read_text()
    (made / "recipe.yaml").write_text(text.replace("seed: 0", "seed: 1"))
    with pytest.raises(ModelError, match="is not the recipe that the weights were merged by"):
        verdict(made, family)
