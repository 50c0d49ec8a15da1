"""Checkpoints: lazy reading, and headers that lie."""

from __future__ import annotations

import hashlib
import json
import os
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xxhash
from safetensors.torch import save_file

from merging.checkpoints import fingerprints
from merging.checkpoints.checkpoint import Checkpoint
from merging.checkpoints.fingerprints import fingerprint
from merging.errors import ModelError
from tests.merging import models


def test_reads_what_the_library_wrote(tmp_path: Path) -> None:
    tensors = {
        "f32": torch.randn(3, 5),
        "f16": torch.randn(7).half(),
        "bf16": torch.randn(2, 2, 2).bfloat16(),
        "f64": torch.randn(4).double(),
        "i64": torch.arange(6).view(2, 3),
        "u8": torch.arange(5, dtype=torch.uint8),
        "flag": torch.tensor([True, False]),
        "scalar": torch.tensor(3.0),
        "nothing": torch.zeros(0, 4),
    }
    folder = models.write_model(tmp_path / "m", {})
    save_file(tensors, folder / "model.safetensors")
    with Checkpoint.open(folder) as checkpoint:
        assert set(checkpoint.tensors) == set(tensors)
        for name, tensor in tensors.items():
            read = checkpoint.read(name)
            assert read.dtype == tensor.dtype and read.shape == tensor.shape
            assert read.equal(tensor)
        assert checkpoint.read_flat("f32", 4, 9).equal(tensors["f32"].flatten()[4:9])
        assert checkpoint.size_bytes == sum(t.nbytes for t in tensors.values())
        assert checkpoint.n_parameters == sum(
            t.numel() for t in tensors.values() if t.is_floating_point()
        )


def test_shards_are_one_checkpoint_with_one_fingerprint(tmp_path: Path) -> None:
    weights = models.weights(3)
    one = models.write_model(tmp_path / "one", weights)
    three = models.write_model(tmp_path / "three", weights, shards=3)
    with Checkpoint.open(one) as whole, Checkpoint.open(three) as parts:
        assert list(whole.tensors) == list(parts.tensors)
        for name in whole.tensors:
            assert whole.read(name).equal(parts.read(name))
        assert parts.dtype == "bfloat16"
    assert fingerprint(one) == fingerprint(three)
    other = models.write_model(tmp_path / "other", models.tuned(weights, 1))
    assert fingerprint(other) != fingerprint(one)


def test_fingerprint_notices_a_changed_byte_and_uses_a_cache(tmp_path: Path) -> None:
    folder = models.write_model(tmp_path / "m", models.weights(0))
    cache: dict[str, str] = {}
    first = fingerprint(folder, cache=cache)
    assert list(cache.values()) == [first]
    assert fingerprint(folder, cache=dict.fromkeys(cache, "remembered")) == first
    file = folder / "model.safetensors"
    intact = file.read_bytes()
    start = 8 + struct.unpack("<Q", intact[:8])[0]
    seen = {first}
    for turn, place in enumerate(range(start, len(intact), 601), 1):
        data = bytearray(intact)
        data[place] ^= 1
        file.write_bytes(data)
        os.utime(file, ns=(turn, turn))  # a write within the clock's resolution
        seen.add(fingerprint(folder, cache=cache))
        assert len(seen) == len(cache) == turn + 1


def test_a_fingerprint_does_not_depend_on_how_the_bytes_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written out once more: XXH3 of each tensor, SHA-256 over name, dtype, shape and that."""
    weights = models.weights(0)
    folder = models.write_model(tmp_path / "m", weights)
    lines = [
        f"{name}\0BF16\0{tuple(tensor.shape)}\0"
        + xxhash.xxh3_128_hexdigest(tensor.bfloat16().view(torch.int16).numpy().tobytes())
        for name, tensor in sorted(weights.items())
    ]
    expected = hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
    for piece in (2, 46, 1 << 20):
        monkeypatch.setattr(fingerprints, "PIECE_BYTES", piece)
        monkeypatch.setattr(fingerprints, "_memory", {})
        assert fingerprint(folder) == expected


def test_what_another_version_remembered_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = models.write_model(tmp_path / "m", models.weights(0))
    cache: dict[str, str] = {}
    monkeypatch.setattr(fingerprints, "_memory", {})
    monkeypatch.setattr(fingerprints, "FINGERPRINT_VERSION", 1)
    fingerprint(folder, cache=cache)
    monkeypatch.undo()
    old = dict.fromkeys(cache, "of an earlier version")
    assert fingerprint(folder, cache=dict(old)) not in old.values()


def test_stored_bytes_are_read_into_a_buffer(tmp_path: Path) -> None:
    weights = models.weights(0)
    folder = models.write_model(tmp_path / "m", weights)
    with Checkpoint.open(folder) as checkpoint:
        buffer = np.empty(2 * 5, np.uint8)
        checkpoint.read_into("model.norm.weight", 3, 8, memoryview(buffer))
    expected = weights["model.norm.weight"][3:8].bfloat16().view(torch.int16).numpy()
    assert buffer.view(np.int16).tolist() == expected.tolist()


def refused(folder: Path, *parts: str) -> None:
    with pytest.raises(ModelError) as caught:
        Checkpoint.open(folder)
    text = str(caught.value)
    assert all(part in text for part in parts), text
    assert "\n" not in text and len(text) < 400
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("seed", range(25))
def test_truncated_anywhere(tmp_path: Path, seed: int) -> None:
    folder = models.write_model(tmp_path / "m", models.weights(0))
    file = folder / "model.safetensors"
    n = file.stat().st_size
    keep = random.Random(seed).choice([0, 1, 7, 8, 9, n - 1, random.Random(seed).randrange(n)])
    os.truncate(file, keep)
    refused(folder, "m/model.safetensors", "damaged or incomplete")


@pytest.mark.parametrize("seed", range(25))
def test_random_bytes_in_the_header_never_crash(tmp_path: Path, seed: int) -> None:
    """Either a sentence, or a header that is consistent with the file (a changed name, say)."""
    folder = models.write_model(tmp_path / "m", models.weights(0))
    file = folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    n_header = struct.unpack("<Q", data[:8])[0]
    chance = random.Random(seed)
    for _ in range(chance.randint(1, 20)):
        data[chance.randrange(8 + n_header)] = chance.randrange(256)
    file.write_bytes(data)
    try:
        Checkpoint.open(folder).close()
    except ModelError as error:
        assert "\n" not in str(error)


def with_header(folder: Path, change: Any, *, data: bytes = b"\0" * 32) -> Path:
    header: Any = {
        "a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
        "b": {"dtype": "F32", "shape": [2, 2], "data_offsets": [16, 32]},
    }
    text = change if isinstance(change, bytes) else json.dumps(change(header) or header).encode()
    folder = models.write_model(folder, {})
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    return folder


def test_the_header_of_these_tests_is_good(tmp_path: Path) -> None:
    with Checkpoint.open(with_header(tmp_path / "m", lambda header: None)) as checkpoint:
        assert checkpoint.n_parameters == 8


LIES: dict[str, tuple[Any, str]] = {
    "larger shape": (lambda h: h["a"].update(shape=[5]), "16 bytes, where"),
    "other dtype": (lambda h: h["a"].update(dtype="F16"), "16 bytes, where"),
    "overlap": (lambda h: h["b"].update(data_offsets=[8, 24]), "overlaps"),
    "same place": (lambda h: h["b"].update(data_offsets=[0, 16]), "overlaps"),
    "hole": (lambda h: h["b"].update(data_offsets=[20, 36]), "hole"),
    "beyond the end": (lambda h: h.update(c={**h["a"], "data_offsets": [32, 48]}), "shorter"),
    "less than the file": (lambda h: h.pop("b") and None, "longer"),
    "backwards": (lambda h: h["a"].update(data_offsets=[16, 0]), "damaged"),
    "negative": (lambda h: h["a"].update(data_offsets=[-16, 0]), "wrongly"),
    "huge shape": (lambda h: h["a"].update(shape=[2**62, 2**62]), "damaged"),
    "float shape": (lambda h: h["a"].update(shape=[4.0]), "wrongly"),
    "true for one": (lambda h: h["a"].update(shape=[True, 4]), "wrongly"),
    "no shape": (lambda h: h["a"].pop("shape") and None, "wrongly"),
    "not a table": (lambda h: h.update(a=3), "wrongly"),
    "a list": (lambda h: [1, 2], "not a table"),
    "unknown dtype": (lambda h: h["a"].update(dtype="F4"), "F4"),
    "not JSON": (b"{not json", "not valid"),
    "not UTF-8": (b'{"\xff": 1}', "not valid"),
    "a name twice": (b'{"a": {}, "a": {}}', "twice"),
    "deep": (b"[" * 50_000, "not valid"),
}


@pytest.mark.parametrize("lie", LIES)
def test_header_lies(tmp_path: Path, lie: str) -> None:
    change, part = LIES[lie]
    refused(with_header(tmp_path / "m", change), "m/model.safetensors", part)


def test_header_length_lies(tmp_path: Path) -> None:
    folder = models.write_model(tmp_path / "m", models.weights(0))
    file = folder / "model.safetensors"
    for claimed in (2**63, 10**9, file.stat().st_size - 7):
        data = struct.pack("<Q", claimed) + file.read_bytes()[8:]
        file.write_bytes(data)
        refused(folder, "damaged")


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    folder = models.write_model(tmp_path / "m", models.weights(0))
    with Checkpoint.open(folder) as checkpoint:
        os.truncate(folder / "model.safetensors", 3000)
        with pytest.raises(ModelError, match="became shorter"):
            checkpoint.read("model.norm.weight")


def test_folders_that_are_no_model(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "there is no folder")
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(empty, "empty has no weights")
    (empty / "config.json").write_text("{}")
    save_file({}, empty / "model.safetensors")
    refused(empty, "empty has no weights")
    (empty / "model.safetensors").unlink()
    (empty / "pytorch_model.bin").write_bytes(b"x")
    refused(empty, "pickles", "pytorch_model.bin", "--convert-pickle")
    gguf = tmp_path / "gguf"
    gguf.mkdir()
    (gguf / "m.gguf").write_bytes(b"x")
    refused(gguf, "GGUF")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    refused(adapter, "LoRA", "BASE+ADAPTER")


def test_config_missing_or_broken(tmp_path: Path) -> None:
    folder = models.write_model(tmp_path / "m", models.weights(0))
    for content, part in (("{", "not valid JSON"), ("[]", "not a JSON object")):
        (folder / "config.json").write_text(content)
        refused(folder, "config.json", part)
    (folder / "config.json").unlink()
    refused(folder, "m has no config.json")


def test_shards_that_do_not_fit_their_index(tmp_path: Path) -> None:
    weights = models.weights(0)
    lacking = models.write_model(tmp_path / "lacking", weights, shards=3)
    (lacking / "model-00002-of-00003.safetensors").unlink()
    refused(lacking, "model-00002-of-00003.safetensors is missing")
    (lacking / "model.safetensors.index.json").unlink()
    refused(lacking, "2 of 3 shards")

    promising = models.write_model(tmp_path / "promising", weights, shards=2)
    index = promising / "model.safetensors.index.json"
    weight_map = json.loads(index.read_text())["weight_map"]
    first = next(iter(weight_map.values()))
    models.write(index, {"weight_map": {**weight_map, "ghost": first}})
    refused(promising, "promises ghost")
    for file in ("../outside.safetensors", "", "..", 3):
        models.write(index, {"weight_map": {"x": file}})
        refused(promising, "plain file name")
    models.write(index, {"metadata": {}})
    refused(promising, "weight_map")

    double = models.write_model(tmp_path / "double", weights, shards=2)
    files = sorted(double.glob("*.safetensors"))
    files[1].write_bytes(files[0].read_bytes())
    refused(double, "twice")


def test_tied_heads(tmp_path: Path) -> None:
    tied = models.write_model(tmp_path / "tied", models.weights(0, tied=True))
    untied = models.write_model(tmp_path / "untied", models.weights(0))
    silent = models.write_model(tmp_path / "silent", models.weights(0, tied=True))
    models.change_json(silent / "config.json", tie_word_embeddings=None)
    with (
        Checkpoint.open(tied) as one,
        Checkpoint.open(untied) as two,
        Checkpoint.open(silent) as three,
    ):
        assert (one.is_tied, two.is_tied, three.is_tied) == (True, False, True)
        one.untie()
        assert one.read("lm_head.weight").equal(one.read("model.embed_tokens.weight"))
