"""Pickles: converted once into the same tensors, and never run."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from merging.checkpoints.checkpoint import Checkpoint
from merging.errors import ModelError
from merging.formats.pickles import convert, pickled_weights
from tests.merging import adapters, models


def pickled(folder: Path, weights: Any, *, shards: int = 1, **how: Any) -> Path:
    """A model whose weights are pytorch_model*.bin."""
    models.write_model(folder, {}, chat=True)
    (folder / "model.safetensors").unlink()
    if shards == 1:
        torch.save(weights, folder / "pytorch_model.bin", **how)
        return folder
    names = list(weights)
    weight_map = {}
    for i in range(shards):
        file = f"pytorch_model-{i + 1:05}-of-{shards:05}.bin"
        torch.save({name: weights[name] for name in names[i::shards]}, folder / file)
        weight_map.update(dict.fromkeys(names[i::shards], file))
    models.write(folder / "pytorch_model.bin.index.json", {"weight_map": weight_map})
    return folder


def converted(folder: Path, out: Path, **options: Any) -> dict[str, torch.Tensor]:
    models.finish(convert(folder, out, **options))
    return models.stored(out)


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype and found[name].equal(value), name


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_tensors(tmp_path: Path, shards: int, dtype: torch.dtype) -> None:
    weights = {name: value.to(dtype) for name, value in models.weights(0).items()}
    folder = pickled(tmp_path / "m", weights, shards=shards)
    same(converted(folder, tmp_path / "out", max_shard_bytes=5000), weights)
    with Checkpoint.open(tmp_path / "out") as checkpoint:
        assert checkpoint.read("model.norm.weight").equal(weights["model.norm.weight"])
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"config.json", "tokenizer.json", "chat_template.jinja"} <= names
    assert not [name for name in names if ".bin" in name]


def test_views_and_shared_tensors(tmp_path: Path) -> None:
    weights = models.weights(0)
    joined = torch.cat([weights["model.norm.weight"], weights["model.norm.weight"] * 2])
    weights["model.norm.weight"] = joined[16:]
    up = "model.layers.0.mlp.up_proj.weight"
    weights[up] = weights[up].T.contiguous().T
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    folder = pickled(tmp_path / "untied", weights)
    models.change_json(folder / "config.json", tie_word_embeddings=False)
    same(converted(folder, tmp_path / "a"), weights)
    for tied in (True, None):
        folder = pickled(tmp_path / f"tied-{tied}", weights)
        models.change_json(folder / "config.json", tie_word_embeddings=tied)
        found = converted(folder, tmp_path / f"b{tied}")
        same(found, {k: v for k, v in weights.items() if k != "lm_head.weight"})
        with Checkpoint.open(tmp_path / f"b{tied}") as checkpoint:
            assert checkpoint.is_tied


@pytest.mark.parametrize("wrapping", ["state_dict", "model", "module."])
def test_wrapped_up_by_a_training(tmp_path: Path, wrapping: str) -> None:
    weights = models.weights(0)
    content: Any = {wrapping: weights, "epoch": 3, "name": "x"}
    if wrapping == "module.":
        content = {f"module.{name}": value for name, value in weights.items()}
    same(converted(pickled(tmp_path / "m", content), tmp_path / "out"), weights)


def test_the_old_format(tmp_path: Path) -> None:
    weights = models.weights(0)
    folder = pickled(tmp_path / "m", weights, _use_new_zipfile_serialization=False)
    same(converted(folder, tmp_path / "out"), weights)


def test_an_adapter(tmp_path: Path) -> None:
    base = adapters.tiny_llama(tmp_path / "base")
    adapters.train(base, tmp_path / "adapter")
    tensors = models.stored(tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_model.safetensors").unlink()
    torch.save(tensors, tmp_path / "adapter" / "adapter_model.bin")
    same(converted(tmp_path / "adapter", tmp_path / "out"), tensors)
    Checkpoint.open(tmp_path / "out", base=Checkpoint.open(base)).close()


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


def refused(folder: Path, out: Path, *parts: str) -> None:
    with pytest.raises(ModelError) as caught:
        models.finish(convert(folder, out))
    text = str(caught.value)
    assert all(part in text for part in parts), text
    assert "\n" not in text and len(text) < 300
    assert not out.exists() and not [one for one in os.listdir(out.parent) if "partial" in one]


@pytest.mark.parametrize("new", [True, False])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, new: bool) -> None:
    mark = tmp_path / "was-run"
    folder = pickled(tmp_path / "m", {"a": torch.ones(2), "b": Evil(mark)},
                     _use_new_zipfile_serialization=new)  # fmt: skip
    refused(folder, tmp_path / "out", "pytorch_model.bin", "system", "was not run")
    assert not mark.exists()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(mark)))
    refused(folder, tmp_path / "out", "pytorch_model.bin")
    assert not mark.exists()


@pytest.mark.parametrize("seed", range(8))
def test_truncated_anywhere(tmp_path: Path, seed: int) -> None:
    folder = pickled(tmp_path / "m", models.weights(0))
    file = folder / "pytorch_model.bin"
    os.truncate(file, random.Random(seed).randrange(file.stat().st_size))
    refused(folder, tmp_path / "out", "pytorch_model.bin")


def test_folders_that_cannot_be_converted(tmp_path: Path) -> None:
    refused(models.write_model(tmp_path / "plain", models.weights(0)), tmp_path / "out",
            "no pickled weights")  # fmt: skip
    lacking = pickled(tmp_path / "lacking", models.weights(0), shards=2)
    (lacking / "pytorch_model-00002-of-00002.bin").unlink()
    refused(lacking, tmp_path / "out", "pytorch_model-00002-of-00002.bin is missing")
    models.write(lacking / "pytorch_model.bin.index.json", {"weight_map": {"a": "../x.bin"}})
    refused(lacking, tmp_path / "out", "no usable weight_map")
    refused(pickled(tmp_path / "list", [torch.ones(2)]), tmp_path / "out", "no tensors by name")
    sparse = {"a": torch.eye(3).to_sparse()}
    refused(pickled(tmp_path / "sparse", sparse), tmp_path / "out", "tensor a")
    odd = {"a": torch.ones(3, dtype=torch.complex64)}
    refused(pickled(tmp_path / "odd", odd), tmp_path / "out", "complex64")


def test_what_counts_as_weights(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    for name in ("training_args.bin", "optimizer.pt", "scheduler.pt"):
        (folder / name).write_bytes(b"x")
    assert pickled_weights(folder) == []
    (folder / "consolidated.00.pth").write_bytes(b"x")
    assert [file.name for file in pickled_weights(folder)] == ["consolidated.00.pth"]
    (folder / "pytorch_model.bin").write_bytes(b"x")
    assert [file.name for file in pickled_weights(folder)] == ["pytorch_model.bin"]
    (folder / "model.safetensors").write_bytes(b"x")
    assert pickled_weights(folder) == []


def test_without_consent_the_sentence_says_what_to_do(tmp_path: Path) -> None:
    folder = pickled(tmp_path / "m", models.weights(0))
    with pytest.raises(ModelError, match="pickles.*--convert-pickle"):
        Checkpoint.open(folder)
