"""Whether a model was made from another, by samples of both."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from merging.checkpoints.checkpoint import Checkpoint
from merging.planning import derivation as module
from merging.planning.derivation import check_derivation, check_origins, derivation
from tests.merging import models

SANDBOX = Path(__file__).resolve().parents[2] / "sandbox"


def opened(folder: Path, tensors: models.Tensors, **options: object) -> Checkpoint:
    name = folder.name
    return Checkpoint.open(models.write_model(folder, tensors, **options), label=name)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["finance", "math", "japanese", "instruct"])
def test_the_sandbox_family_is_derived(name: str) -> None:
    base, expert = Checkpoint.open(SANDBOX / "base"), Checkpoint.open(SANDBOX / name)
    found = check_derivation(expert, base)
    assert found is not None and found.state == "ok"
    assert found.detail.startswith(f"{name} is derived from base: cosine of the weights 0.99")
    measured = derivation(expert, base)
    assert measured is not None and measured.n_matrices == 28
    assert 0.02 < measured.relative_norm < 0.2


def test_another_initialisation_is_not(tmp_path: Path) -> None:
    base, other = opened(tmp_path / "base", models.weights(0)), opened(
        tmp_path / "other", models.weights(1)
    )  # fmt: skip
    found = check_derivation(other, base)
    assert found is not None and found.state == "bad"
    assert "has the shapes of base but does not come from it (cosine of the weights" in found.detail
    assert found.fix == "Name the base that other was trained from."
    beside = check_derivation(other, base, is_base=False)
    assert beside is not None and beside.state == "warn"
    assert "no common origin" in beside.detail


def test_a_copy_has_its_own_sentence(tmp_path: Path) -> None:
    base = opened(tmp_path / "base", models.weights(0))
    copy = opened(tmp_path / "copy", models.weights(0))
    found = check_derivation(copy, base)
    assert found is not None and found.state == "warn"
    assert "its task vector is zero" in found.detail
    beside = check_derivation(copy, base, is_base=False)
    assert beside is not None and beside.state == "warn"
    assert beside.detail.startswith("copy and base hold the same weights")


def test_neurons_in_another_order(tmp_path: Path) -> None:
    """The same function, and yet nothing that could be averaged."""
    tensors = models.weights(0)
    order = torch.randperm(models.INNER, generator=torch.Generator().manual_seed(1))
    permuted = dict(tensors)
    for layer in range(models.LAYERS):
        at = f"model.layers.{layer}.mlp"
        for name in ("gate_proj", "up_proj"):
            permuted[f"{at}.{name}.weight"] = tensors[f"{at}.{name}.weight"][order].contiguous()
        down = f"{at}.down_proj.weight"
        permuted[down] = tensors[down][:, order].contiguous()
    base, other = opened(tmp_path / "base", tensors), opened(tmp_path / "other", permuted)
    found = check_derivation(other, base)
    assert found is not None and found.state == "bad"
    assert "in 6 of 14 sampled matrices (down_proj, gate_proj and up_proj)" in found.detail


def test_far_but_not_unrelated(tmp_path: Path) -> None:
    base = models.weights(0)
    far = models.tuned(base, 1, strength=0.2)  # as much noise as weight: cosine about 0.7
    found = check_derivation(opened(tmp_path / "far", far), opened(tmp_path / "base", base))
    assert found is not None and found.state == "warn"
    assert "far is far from base (cosine of the weights 0.7" in found.detail


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_any_number_format(tmp_path: Path, dtype: torch.dtype) -> None:
    base = opened(tmp_path / "base", models.weights(0))
    expert = opened(tmp_path / "expert", models.tuned(models.weights(0), 1), dtype=dtype)
    found = check_derivation(expert, base)
    assert found is not None and found.state == "ok"


def test_nothing_to_look_at(tmp_path: Path) -> None:
    zeros = {name: torch.zeros_like(tensor) for name, tensor in models.weights(0).items()}
    base = opened(tmp_path / "base", models.weights(0))
    assert check_derivation(opened(tmp_path / "zero", zeros), base) is None


def test_nan_is_left_to_others(tmp_path: Path) -> None:
    bad = models.tuned(models.weights(0), 1)
    bad["model.layers.0.mlp.up_proj.weight"][:] = float("nan")
    base = opened(tmp_path / "base", models.weights(0))
    found = check_derivation(opened(tmp_path / "bad", bad), base)
    assert found is not None and found.state == "ok" and "13 matrices" in found.detail


def test_reads_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLE", 64)
    monkeypatch.setattr(module, "MOST_MATRICES", 5)
    base, expert = opened(tmp_path / "base", models.weights(0)), opened(
        tmp_path / "expert", models.tuned(models.weights(0), 1)
    )  # fmt: skip
    read = 0
    original = Checkpoint.read_into

    def counted(self: Checkpoint, name: str, start: int, stop: int, buffer: memoryview) -> None:
        nonlocal read
        read += len(buffer)
        original(self, name, start, stop, buffer)

    monkeypatch.setattr(Checkpoint, "read_into", counted)
    found = derivation(expert, base)
    assert found is not None and found.n_matrices == 5
    assert read == 2 * 5 * 64 * 2


def test_each_model_once(tmp_path: Path) -> None:
    tensors = models.weights(0)
    base = opened(tmp_path / "base", tensors)
    one, two = (opened(tmp_path / str(i), models.tuned(tensors, i)) for i in (1, 2))
    against_base = [check.detail.split()[0] for check in check_origins(base, [one, two, one])]
    assert against_base == ["1", "2"]
    assert [check.detail for check in check_origins(None, [one, two])][0].startswith(
        "2 has the same origin as 1"
    )
    assert list(check_origins(base, [base])) == []
