"""The same merges on CUDA devices: within one unit in the last place of the CPU's, in bounds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from merging.checkpoints.stored import torch_dtype
from merging.engine import merge_to_folder
from merging.methods import METHODS
from merging.recipes.recipe import Recipe
from merging.resident import Resident
from merging.streaming.on_device import DEVICE_ELEMENTS, bytes_on_device
from tests.merging import models
from tests.merging.models import finish, stored
from tests.merging.test_on_device import ULP
from tests.merging.test_resident import recipe_for, steps_of

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_cuda_gives_what_the_cpu_gives(
    method: str, dtype: str, family: dict[str, Path], tmp_path: Path
) -> None:
    recipe = Recipe(**{**recipe_for(method).model_dump(), "dtype": dtype})
    for device in ("cpu", "cuda:0"):
        finish(merge_to_folder(recipe, family, tmp_path / device, device=device))
    cpu, cuda = stored(tmp_path / "cpu"), stored(tmp_path / "cuda:0")
    for name, tensor in cpu.items():
        torch.testing.assert_close(cuda[name], tensor, rtol=ULP[dtype], atol=1e-7)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_chunks_and_further_devices_change_no_byte(
    method: str, family: dict[str, Path], tmp_path: Path
) -> None:
    """ "cuda" is every GPU there is, "cuda:0" the first one."""
    found = []
    for number, (device, chunk) in enumerate(
        (("cuda:0", None), ("cuda:0", 40), ("cuda:0", 1000), ("cuda", None), ("cuda", 333))
    ):
        out = tmp_path / str(number)
        finish(
            merge_to_folder(recipe_for(method), family, out, device=device, chunk_elements=chunk)
        )
        found.append((out / "model.safetensors").read_bytes())
    assert len(set(found)) == 1


def test_memory_stays_within_what_is_said(tmp_path: Path) -> None:
    """Of tensors several times larger than a chunk."""
    rows = 3 * DEVICE_ELEMENTS // 1024
    names = ("model.embed_tokens.weight", "lm_head.weight")
    folders = {}
    for seed, name in enumerate(("base", "finance", "math")):
        generator = torch.Generator().manual_seed(seed)
        tensors = {key: torch.randn(rows, 1024, generator=generator) for key in names}
        changes = {"vocab_size": rows, "hidden_size": 1024}
        folders[name] = models.write_model(
            tmp_path / name, tensors, tokenizer=False, changes=changes
        )
    recipe = Recipe(method="ties", base="base", models=[{"model": "finance"}, {"model": "math"}])
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    finish(merge_to_folder(recipe, folders, tmp_path / "out", device="cuda:0"))
    assert torch.cuda.max_memory_allocated() < bytes_on_device(3, DEVICE_ELEMENTS)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("method", ["linear", "task_arithmetic", "ties", "dare_ties"])
def test_parents_that_stay_on_the_device(
    method: str, fused: bool, family: dict[str, Path], tmp_path: Path
) -> None:
    recipe = recipe_for(method)
    finish(merge_to_folder(recipe, family, tmp_path / "out", device="cuda:0"))
    with steps_of(recipe, family) as steps:
        outputs = {
            step.name: torch.empty(
                step.output.shape, dtype=torch_dtype(step.output.dtype), device="cuda:0"
            )
            for step in steps
        }
        Resident(steps, "cuda:0", fused=fused).merge(steps, outputs)
    for name, tensor in stored(tmp_path / "out").items():
        torch.testing.assert_close(outputs[name].cpu(), tensor, rtol=ULP["bfloat16"], atol=1e-7)
