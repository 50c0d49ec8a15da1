"""Reading bfloat16 of all parents of a tensor at once, and keeping it for the merge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from merging.checkpoints.checkpoint import Checkpoint
from merging.checkpoints.views import TensorView
from merging.errors import ModelError
from merging.health import kernels as health
from merging.kernels import convert
from merging.streaming.buffers import Buffers
from merging.streaming.stored_rows import StoredRows

N = 1000


def folder(path: Path, values: torch.Tensor) -> Checkpoint:
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text("{}", "utf-8")
    save_file({"first": torch.ones(3).bfloat16(), "w": values}, path / "model.safetensors")
    return Checkpoint.open(path)


def parents(tmp_path: Path, *values: torch.Tensor) -> list[Checkpoint]:
    return [folder(tmp_path / f"model{number}", one) for number, one in enumerate(values)]


def rows_of(found: Sequence[Checkpoint], buffers: Buffers) -> StoredRows:
    return StoredRows([TensorView(one, "w") for one in found], "w", buffers)


def numbers(seed: int, n: int = N) -> torch.Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(seed)).bfloat16()


def bits(values: torch.Tensor) -> np.ndarray:  # type: ignore[type-arg]
    return values.view(torch.int16).numpy().view(np.uint16)


def test_what_is_read_is_what_the_files_hold_and_is_kept(tmp_path: Path) -> None:
    one, two = numbers(1), numbers(2)
    found = parents(tmp_path, one, two)
    rows = rows_of(found, Buffers())
    spans = [(0, 300), (300, 900), (900, N)]
    for start, stop in spans:
        assert (rows.get(start, stop, keep=True)[0] == bits(one)[start:stop]).all()
    folder(tmp_path / "model1", numbers(3))
    for start, stop in spans:
        read = rows.get(start, stop, keep=False)
        assert (read == np.stack([bits(one), bits(two)])[:, start:stop]).all()


def test_what_has_no_room_is_read_again(tmp_path: Path) -> None:
    values = [numbers(4), numbers(5), numbers(6)]
    found = parents(tmp_path, *values)
    whole = np.stack([bits(one) for one in values])
    buffers = Buffers()
    buffers.kept_bytes = 2 * 3 * 450
    rows = rows_of(found, buffers)
    for keep in (True, False):
        for start in range(0, N, 200):
            read = rows.get(start, start + 200, keep=keep)
            assert (read == whole[:, start : start + 200]).all()


def test_the_memory_of_one_tensor_serves_the_next(tmp_path: Path) -> None:
    found, buffers = parents(tmp_path, numbers(7)), Buffers()
    first = rows_of(found, buffers).get(0, N, keep=True)
    other = rows_of(parents(tmp_path / "other", numbers(8)), buffers).get(0, N, keep=True)
    assert np.shares_memory(first, other) and (other[0] == bits(numbers(8))).all()


def test_many_threads_keep_no_more_than_a_few() -> None:
    assert 64 * Buffers(64).kept_bytes <= 4 * Buffers(1).kept_bytes


@pytest.mark.parametrize(("wrong", "said"), [(float("nan"), "NaN"), (-float("inf"), "infinite")])
def test_what_is_no_number_is_told_of_its_parent(tmp_path: Path, wrong: float, said: str) -> None:
    bad = numbers(9)
    bad[N - 1] = wrong
    rows = rows_of(parents(tmp_path, numbers(1), bad), Buffers())
    rows.get(0, N - 1, keep=True)
    with pytest.raises(ModelError, match=f"model1 holds .*{said}.* in tensor w"):
        rows.get(N - 1, N, keep=True)


def test_a_file_that_shrinks_is_told_in_a_sentence(tmp_path: Path) -> None:
    found = parents(tmp_path, numbers(1), numbers(2))
    rows = rows_of(found, Buffers())
    file = tmp_path / "model1" / "model.safetensors"
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size - 10)
    rows.get(0, N - 5, keep=False)
    with pytest.raises(ModelError, match="model1: model.safetensors became shorter"):
        rows.get(0, N, keep=True)


def test_a_tensor_under_a_second_name_is_read_where_it_lies(tmp_path: Path) -> None:
    values = numbers(3, 12)
    path = tmp_path / "tied"
    path.mkdir()
    (path / "config.json").write_text('{"tie_word_embeddings": true}', "utf-8")
    save_file({"model.embed_tokens.weight": values.view(3, 4)}, path / "model.safetensors")
    found = Checkpoint.open(path)
    found.untie()
    rows = StoredRows([TensorView(found, "lm_head.weight")], "lm_head.weight", Buffers())
    assert (rows.get(4, 12, keep=False)[0] == bits(values)[4:]).all()


@pytest.mark.parametrize("n", [1, 31, 1024, 5000])
def test_rounding_and_counting_at_once_is_as_one_after_the_other(n: int) -> None:
    generator = torch.Generator().manual_seed(n)
    base = torch.randn(n, generator=generator).bfloat16()
    merged = base.float()
    merged += 1e-3 * torch.randn(n, generator=generator) * (torch.rand(n) < 0.7)
    values, wide = merged.numpy(), base.float().numpy()
    out, other = bytearray(2 * n), bytearray(2 * n)
    sums, expected = np.zeros(4), np.zeros(4)
    assert health.narrow_and_count(values, bits(base), memoryview(out), sums)
    assert convert.narrow(values, "BF16", other) and out == other
    health.add_norms(values, wide, expected)
    health.add_lost_bf16(values, wide, expected)
    assert sums[2:].tolist() == expected[2:].tolist()
    assert sums[:2] == pytest.approx(expected[:2], rel=1e-14)
    values[n // 2] = 3.4e38  # rounded to infinity
    assert not health.narrow_and_count(values, bits(base), memoryview(out), sums)
