"""The same merges on a CUDA device, within one unit in the last place of the CPU's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from merging.engine import merge_to_folder
from merging.methods import METHODS
from merging.recipe import Recipe
from tests.merging.models import finish, stored

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("method", sorted(METHODS))
def test_cuda_gives_what_the_cpu_gives(
    method: str, family: dict[str, Path], tmp_path: Path
) -> None:
    listed = [{"model": "finance"}, {"model": "instruct", "role": "instruct"}]
    recipe = Recipe(
        method=method,
        base="base" if METHODS[method].needs_base == "required" else None,
        models=listed[: METHODS[method].max_models],
        dtype="float32",
    )
    for device in ("cpu", "cuda"):
        finish(merge_to_folder(recipe, family, tmp_path / device, device=device))
    cpu, cuda = stored(tmp_path / "cpu"), stored(tmp_path / "cuda")
    for name, tensor in cpu.items():
        torch.testing.assert_close(cuda[name], tensor, rtol=2**-22, atol=1e-7)
