"""The GPUs' data path on torch's CPU device: lanes, staging and all, against the CPU's own path.

The same code serves CUDA (`test_gpu.py`), where streams and page-locked memory come in besides.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from merging.engine import merge_to_folder
from merging.errors import MergeFailure, ModelError
from merging.methods import METHODS
from merging.recipes.recipe import Recipe
from tests.merging import models
from tests.merging.models import finish, stored
from tests.merging.test_resident import recipe_for

# the places of a bfloat16 and of a float32, in units of the value
ULP = {"bfloat16": 2.0**-7, "float32": 2.0**-22, "float16": 2.0**-10}


@pytest.fixture
def device_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two torch devices of type "cpu": the stream then takes the path of devices."""
    monkeypatch.setattr("merging.engine.choose_devices", lambda device: ["cpu:0", "cpu:0"])


def merge(recipe: Recipe, family: dict[str, Path], out: Path, chunk: int | None = None) -> Path:
    return Path(finish(merge_to_folder(recipe, family, out, chunk_elements=chunk))[1])


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_gives_what_the_cpu_gives(
    method: str,
    dtype: str,
    family: dict[str, Path],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    recipe = Recipe(**{**recipe_for(method).model_dump(), "dtype": dtype})
    cpu = stored(merge(recipe, family, tmp_path / "cpu"))
    request.getfixturevalue("device_path")
    found = [merge(recipe, family, tmp_path / f"device{chunk}", chunk) for chunk in (None, 40, 333)]
    for name, tensor in stored(found[0]).items():
        torch.testing.assert_close(tensor, cpu[name], rtol=ULP[dtype], atol=1e-7)
    # whatever the chunks and whichever device has a tensor, the bytes are the same
    whole = (found[0] / "model.safetensors").read_bytes()
    assert all((one / "model.safetensors").read_bytes() == whole for one in found[1:])


@pytest.mark.usefixtures("device_path")
def test_a_parent_with_nan_is_named(family: dict[str, Path], tmp_path: Path) -> None:
    bad = models.weights(3)
    bad["lm_head.weight"][2, 3] = float("inf")
    folders = {**family, "math": models.write_model(tmp_path / "math", bad)}
    with pytest.raises(ModelError, match="math holds an infinite value in tensor lm_head.weight"):
        merge(recipe_for("ties"), folders, tmp_path / "outputs" / "out", 100)
    assert list((tmp_path / "outputs").iterdir()) == []


@pytest.mark.usefixtures("device_path")
def test_a_result_beyond_its_dtype_is_named(family: dict[str, Path], tmp_path: Path) -> None:
    large = {name: 60000 * torch.ones_like(t) for name, t in models.weights(0).items()}
    folders = {
        "base": family["base"],
        **{
            name: models.write_model(tmp_path / name, large, dtype=torch.float32)
            for name in ("finance", "math")
        },
    }
    recipe = Recipe(
        method="task_arithmetic",
        base="base",
        models=[{"model": "finance"}, {"model": "math"}],
        dtype="float16",
    )
    with pytest.raises(MergeFailure, match="is beyond what float16 can hold"):
        merge(recipe, folders, tmp_path / "outputs" / "out")
    assert list((tmp_path / "outputs").iterdir()) == []
