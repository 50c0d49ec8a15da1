"""Parents in 8-bit floats: read as q * scale, whatever the scales belong to."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merging.checkpoints.checkpoint import Checkpoint
from merging.checkpoints.fingerprints import fingerprint_of
from merging.errors import ModelError
from merging.formats.fp8 import Fp8Checkpoint
from merging.formats.widen import widen_into
from tests.merging import models

NAME = "model.layers.0.mlp.up_proj.weight"


@pytest.mark.parametrize(
    ("dtype", "stored"), [("F8_E4M3", torch.float8_e4m3fn), ("F8_E5M2", torch.float8_e5m2)]
)
def test_every_byte_is_what_torch_says(dtype: str, stored: torch.dtype) -> None:
    every = torch.arange(256, dtype=torch.uint8)
    out = np.empty(256, np.float32)
    widen_into(every.numpy(), dtype, out)
    np.testing.assert_array_equal(out, every.view(stored).float().numpy())


def quantised(
    folder: Path, scales: dict[str, torch.Tensor], settings: Any, dtype: Any = torch.float8_e4m3fn
) -> tuple[Path, torch.Tensor]:
    """A model whose NAME is stored in 8 bits beside these scales, and the 8-bit values."""
    weights: dict[str, torch.Tensor] = {
        name: value.bfloat16() for name, value in models.weights(0).items()
    }
    weights[NAME] = weights[NAME].to(dtype)
    changes = {} if settings is None else {"quantization_config": settings}
    models.write_model(folder, {**weights, **scales}, dtype=None, changes=changes)
    return folder, weights[NAME].double()


ROWS, COLUMNS = models.INNER, models.HIDDEN
G = torch.Generator().manual_seed(0)


def positive(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=G) + 0.5


CASES: dict[str, tuple[str, torch.Tensor, Any]] = {
    "a tensor": ("_scale", positive(), {"quant_method": "modelopt", "quant_algo": "FP8"}),
    "a tensor, as [1]": ("_scale", positive(1), {"quant_method": "fp8"}),
    "a row": (
        "_scale",
        positive(ROWS, 1),
        {"quant_method": "compressed-tensors", "format": "float-quantized"},
    ),
    "a row in bfloat16": ("_scale", positive(ROWS).bfloat16(), {"quant_method": "fbgemm_fp8"}),
    "a block": ("_scale_inv", positive(3, 2), {"quant_method": "fp8", "weight_block_size": [8, 8]}),
    "a ragged block": (
        "_scale_inv",
        positive(4, 4),
        {"quant_method": "fp8", "weight_block_size": [7, 5]},
    ),
    "one block": ("_scale_inv", positive(1, 1), {"quant_method": "fp8"}),
    "no config": ("_scale", positive(ROWS, 1), None),
}


@pytest.mark.parametrize("case", CASES)
def test_scales_of(tmp_path: Path, case: str) -> None:
    end, scale, settings = CASES[case]
    folder, q = quantised(tmp_path / "m", {NAME + end: scale}, settings)
    tall, broad = (settings or {}).get("weight_block_size", [1, COLUMNS])
    expected = torch.empty_like(q)
    for i in range(ROWS):
        for j in range(COLUMNS):
            flat = scale.double().reshape(-1)
            if scale.numel() == 1:
                factor = flat[0]
            elif scale.numel() == ROWS:
                factor = flat[i]
            else:
                factor = scale.double()[i // tall, j // broad]
            expected[i, j] = q[i, j] * factor
    with Checkpoint.open(folder) as checkpoint:
        assert isinstance(checkpoint, Fp8Checkpoint)
        assert set(checkpoint.tensors) == set(models.weights(0))
        assert "quantization_config" not in checkpoint.config
        assert checkpoint.tensors[NAME].dtype == "BF16" and checkpoint.tensors[NAME].is_float
        assert checkpoint.stored(NAME) is None
        whole = checkpoint.read(NAME)
        assert whole.dtype == torch.float32
        torch.testing.assert_close(whole.double(), expected, rtol=1e-7, atol=0)
        for start, stop in ((0, 1), (3, 40), (17, 18), (5, ROWS * COLUMNS)):
            assert checkpoint.read_flat(NAME, start, stop).equal(whole.flatten()[start:stop])
        norm = checkpoint.read("model.norm.weight")
        assert norm.dtype == torch.bfloat16


def test_plain_fp8_and_what_serves_inference(tmp_path: Path) -> None:
    extra = {
        "model.layers.0.mlp.up_proj.input_scale": torch.ones(1),
        "model.layers.0.self_attn.k_scale": torch.ones(()),
    }
    folder, q = quantised(tmp_path / "m", extra, None, torch.float8_e5m2)
    with Checkpoint.open(folder) as checkpoint:
        assert set(checkpoint.tensors) == set(models.weights(0))
        assert checkpoint.read(NAME).double().equal(q)


def test_a_stack_of_experts(tmp_path: Path) -> None:
    weights = models.weights(0)
    q = torch.randn(3, 6, 8, generator=G).to(torch.float8_e4m3fn)
    scale = positive(3, 2, 2)
    stack = {"experts.up": q, "experts.up_scale_inv": scale}
    settings = {"quant_method": "fp8", "weight_block_size": [4, 4]}
    models.write_model(
        tmp_path / "m", {**weights, **stack}, dtype=None, changes={"quantization_config": settings}
    )
    grown = scale.repeat_interleave(4, 1)[:, :6].repeat_interleave(4, 2)
    with Checkpoint.open(tmp_path / "m") as checkpoint:
        assert checkpoint.read("experts.up").equal(q.float() * grown)
        assert checkpoint.read_flat("experts.up", 30, 71).equal(
            (q.float() * grown).flatten()[30:71]
        )


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.integers(1, 12))
def test_blocks_of_any_size(rows: int, columns: int, tall: int, broad: int) -> None:
    """The scale of element (i, j) is the one of block (i // tall, j // broad)."""
    checkpoint = object.__new__(Fp8Checkpoint)
    checkpoint._block = (tall, broad)
    high, wide = math.ceil(rows / tall), math.ceil(columns / broad)
    for axis, length, count, extent in ((0, rows, high, tall), (1, columns, wide, broad)):
        found = checkpoint._extent(length, count, axis)
        assert all(place // found == place // extent for place in range(length))


def test_the_fingerprint_covers_the_scales(tmp_path: Path) -> None:
    seen = set()
    for i, value in enumerate((1.0, 1.0, 2.0)):
        folder, _ = quantised(tmp_path / str(i), {NAME + "_scale": torch.tensor(value)}, None)
        with Checkpoint.open(folder) as checkpoint:
            seen.add(fingerprint_of(checkpoint))
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("scale", "settings", "part"),
    [
        (positive(5, 1), None, "do not fit"),
        (positive(3, 2, 1), None, "do not fit"),
        (torch.ones(ROWS, dtype=torch.int32), None, "do not fit"),
        (positive(1), {"quant_method": "gptq"}, "quantised as gptq"),
        (positive(1), {"quant_method": "bitsandbytes"}, "quantised as bitsandbytes"),
        (
            positive(1),
            {"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"},
            "nvfp4",
        ),
        (positive(1), {"quant_method": "modelopt", "quant_algo": "NVFP4"}, "modelopt (NVFP4)"),
    ],
)
def test_refused(tmp_path: Path, scale: torch.Tensor, settings: Any, part: str) -> None:
    folder, _ = quantised(tmp_path / "m", {NAME + "_scale": scale}, settings)
    with pytest.raises(ModelError) as caught:
        Checkpoint.open(folder)
    assert part in str(caught.value) and "\n" not in str(caught.value)


def test_a_scale_that_is_not_finite(tmp_path: Path) -> None:
    scale = positive(ROWS, 1)
    scale[3] = math.inf
    folder, _ = quantised(tmp_path / "m", {NAME + "_scale": scale}, None)
    with (
        Checkpoint.open(folder) as checkpoint,
        pytest.raises(ModelError, match="up_proj.weight_scale"),
    ):
        checkpoint.read(NAME)
