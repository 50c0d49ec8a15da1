"""What goes in and comes out: dtypes, tied heads, integers, NaN, values too large."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from merging.engine import merge_to_folder
from merging.errors import MergeFailure, ModelError
from merging.methods import METHODS
from merging.recipes.recipe import Recipe
from tests.merging import models
from tests.merging.models import finish, stored
from tests.merging.test_engine import FINANCE_INSTRUCT, merge, recipe_of


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


def test_a_head_stored_beside_a_tied_embedding_is_left_out(tmp_path: Path) -> None:
    """Loaders ignore it, so it must neither be merged nor written."""
    base = models.weights(0)
    tied = {"tie_word_embeddings": True}
    folders = {
        name: models.write_model(tmp_path / name, models.tuned(base, seed), changes=tied)
        for seed, name in enumerate(("base", "expert"))
    }
    recipe = Recipe(method="task_arithmetic", base="base", models=[{"model": "expert"}])
    out = merge(recipe, folders, tmp_path / "out")
    assert "lm_head.weight" not in stored(out)
    assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is True
