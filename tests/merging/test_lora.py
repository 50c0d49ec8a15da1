"""LoRA adapters as models: the same weights as PEFT merges, read piece by piece."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from merging.checkpoints.checkpoint import Checkpoint
from merging.checkpoints.fingerprints import fingerprint_of
from merging.errors import ModelError
from merging.formats import lora
from tests.merging import adapters, models

pytest.importorskip("peft")

CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "all linear": {"target_modules": "all-linear", "r": 3},
    "rslora": {"use_rslora": True},
    "rank patterns": {
        "target_modules": ["q_proj", "v_proj", "up_proj"],
        "rank_pattern": {"v_proj": 2, "layers.1.self_attn.q_proj": 7, r"layers\.0\.mlp\.\w+": 1},
        "alpha_pattern": {"up_proj": 3, "layers.1.self_attn.q_proj": 1},
    },
    "rslora with patterns": {"use_rslora": True, "rank_pattern": {"q_proj": 8}},
    "dora": {"use_dora": True},
    "dora with rslora": {"use_dora": True, "use_rslora": True, "r": 2},
    "modules to save": {"modules_to_save": ["lm_head", "norm"]},
    "embeddings": {"target_modules": ["embed_tokens", "q_proj"]},
    "head": {"target_modules": ["lm_head"]},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_same_weights_as_peft(tmp_path: Path, name: str) -> None:
    base = adapters.tiny_llama(tmp_path / "base")
    expected = adapters.train(base, tmp_path / "adapter", **CONFIGS[name])
    changed = 0
    with adapters.opened(base, tmp_path / "adapter") as both, Checkpoint.open(base) as plain:
        assert set(both.tensors) == set(expected)
        for tensor, value in expected.items():
            read = both.read(tensor)
            assert read.dtype == torch.float32
            torch.testing.assert_close(read, value, rtol=2e-6, atol=1e-7)
            changed += not read.equal(plain.read(tensor))
    assert changed >= 1


@pytest.mark.parametrize("start", [0, 1, 5])
def test_any_piece_is_the_same_bits(
    tmp_path: Path, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lora, "BLOCK_ELEMENTS", 64)
    base = adapters.tiny_llama(tmp_path / "base")
    adapters.train(base, tmp_path / "adapter", use_dora=True)
    name = "model.layers.1.mlp.down_proj.weight"
    with adapters.opened(base, tmp_path / "adapter") as both:
        whole = both.read(name).flatten()
        for step in (1, 7, 24, 100):
            pieces = [
                both.read_flat(name, place, min(place + step, len(whole)))
                for place in range(start, len(whole), step)
            ]
            assert torch.cat(pieces).equal(whole[start:])


@pytest.mark.parametrize("dora", [False, True])
def test_neither_block_nor_rank_of_four_changes_a_bit(
    tmp_path: Path, dora: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each element is one float32 sum in the order of the ranks, scaled, and added to the base."""
    base = adapters.tiny_llama(tmp_path / "base")
    adapters.train(base, tmp_path / "adapter", use_dora=dora, r=7)
    stored = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    name = "model.layers.1.mlp.down_proj"
    found = []
    for size in (1, 50, 1 << 18):
        monkeypatch.setattr(lora, "BLOCK_ELEMENTS", size)
        with adapters.opened(base, tmp_path / "adapter") as both:
            found.append(both.read(f"{name}.weight").numpy())
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])
    if not dora:
        a, b = (stored[f"base_model.model.{name}.lora_{side}.weight"].numpy() for side in "AB")
        sums = np.zeros((len(b), a.shape[1]), np.float32)
        for k in range(7):
            sums += b[:, k : k + 1] * a[k]
        with Checkpoint.open(base) as plain:
            expected = plain.read(f"{name}.weight").numpy() + np.float32(10 / 7) * sums
        assert np.array_equal(found[0], expected)


def test_bfloat16_base_is_not_rounded_twice(tmp_path: Path) -> None:
    """theta + scaling B A in float32, from the bfloat16 base; the merge alone rounds it."""
    base = adapters.tiny_llama(tmp_path / "base", dtype=torch.bfloat16)
    adapters.train(base, tmp_path / "adapter")
    stored = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    name = "model.layers.0.self_attn.q_proj"
    a, b = (stored[f"base_model.model.{name}.lora_{side}.weight"].double() for side in "AB")
    with adapters.opened(base, tmp_path / "adapter") as both, Checkpoint.open(base) as plain:
        assert both.tensors[f"{name}.weight"].dtype == "BF16"
        expected = plain.read(f"{name}.weight").double() + 2.5 * (b @ a)
        torch.testing.assert_close(
            both.read(f"{name}.weight").double(), expected, rtol=1e-6, atol=1e-7
        )


@pytest.mark.parametrize("target", ["embed_tokens", "lm_head"])
def test_a_tied_base_is_untied_when_one_side_is_changed(tmp_path: Path, target: str) -> None:
    """What PEFT computes: LoRA on the embedding alone leaves the output embedding alone."""
    base = adapters.tiny_llama(tmp_path / "base", tied=True)
    adapters.train(base, tmp_path / "adapter", target_modules=[target])
    with Checkpoint.open(base) as plain:
        before = plain.read("model.embed_tokens.weight")
    with adapters.opened(base, tmp_path / "adapter") as both:
        assert not both.is_tied and both.config["tie_word_embeddings"] is False
        unchanged = "lm_head.weight" if target == "embed_tokens" else "model.embed_tokens.weight"
        changed = {"lm_head.weight", "model.embed_tokens.weight"} - {unchanged}
        assert both.read(unchanged).equal(before)
        assert not both.read(changed.pop()).equal(before)


def test_a_tied_base_stays_tied_otherwise(tmp_path: Path) -> None:
    base = adapters.tiny_llama(tmp_path / "base", tied=True)
    adapters.train(base, tmp_path / "adapter")
    with adapters.opened(base, tmp_path / "adapter") as both:
        assert both.is_tied and "lm_head.weight" not in both.tensors
        both.untie()
        assert both.stored("lm_head.weight") == "F32"
        assert both.read("lm_head.weight").equal(both.read("model.embed_tokens.weight"))


def test_an_embedding_with_as_many_rows_as_columns(tmp_path: Path) -> None:
    """Its shape does not tell that B A is added turned round."""
    weights = models.weights(0, vocabulary=models.HIDDEN)
    changes = {"vocab_size": models.HIDDEN}
    base = models.write_model(tmp_path / "base", weights, dtype=torch.float32, changes=changes)
    expected = adapters.train(base, tmp_path / "adapter", target_modules=["embed_tokens"])
    name = "model.embed_tokens.weight"
    with adapters.opened(base, tmp_path / "adapter") as both:
        torch.testing.assert_close(both.read(name), expected[name], rtol=2e-6, atol=5e-7)


def test_a_tokenizer_beside_the_adapter_is_the_models(tmp_path: Path) -> None:
    base = adapters.tiny_llama(tmp_path / "base")
    adapters.train(base, tmp_path / "adapter")
    with adapters.opened(base, tmp_path / "adapter") as both:
        assert both.folder == base
    models.write(tmp_path / "adapter" / "tokenizer.json", models.tokenizer_json(models.VOCABULARY))
    with adapters.opened(base, tmp_path / "adapter") as both:
        assert both.folder == tmp_path / "adapter"


def test_embeddings_that_grew(tmp_path: Path) -> None:
    base = adapters.tiny_llama(tmp_path / "base")
    adapter = tmp_path / "adapter"
    adapters.train(base, adapter, modules_to_save=["embed_tokens", "lm_head"])
    file = adapter / "adapter_model.safetensors"
    tensors = {
        name: torch.cat([value, value[:3]]) if "lora" not in name else value
        for name, value in load_file(file).items()
    }
    save_file(tensors, file)
    with adapters.opened(base, adapter) as both:
        rows = len(models.VOCABULARY) + 3
        assert both.tensors["lm_head.weight"].shape[0] == both.config["vocab_size"] == rows
        assert both.read("model.embed_tokens.weight").shape[0] == rows


def test_a_conv1d_model(tmp_path: Path) -> None:
    """GPT-2 keeps its weights as [in, out], square ones included."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=20, n_positions=8))
    model.save_pretrained(tmp_path / "base")
    expected = adapters.train(
        tmp_path / "base", tmp_path / "adapter", target_modules=["c_attn", "c_proj", "c_fc"]
    )
    with adapters.opened(tmp_path / "base", tmp_path / "adapter") as both:
        for name in both.tensors:
            torch.testing.assert_close(both.read(name), expected[name], rtol=2e-6, atol=5e-7)


def test_the_fingerprint_covers_base_adapter_and_scaling(tmp_path: Path) -> None:
    base = adapters.tiny_llama(tmp_path / "base")
    other = models.write_model(tmp_path / "other", models.weights(9), dtype=torch.float32)
    adapter = tmp_path / "adapter"
    adapters.train(base, adapter)
    seen = set()

    def look(on: Path) -> None:
        with adapters.opened(on, adapter) as both:
            seen.add(fingerprint_of(both))

    look(base)
    look(base)
    assert len(seen) == 1
    look(other)
    assert len(seen) == 2
    models.change_json(adapter / "adapter_config.json", lora_alpha=11)
    look(base)
    assert len(seen) == 3
    models.change_json(adapter / "adapter_config.json", lora_dropout=0.5)
    look(base)
    assert len(seen) == 3
    change(adapter, "model.layers.0.self_attn.q_proj.lora_A.weight", lambda value: value + 1)
    look(base)
    assert len(seen) == 4


def change(adapter: Path, name: str, how: Any) -> None:
    """Replace a tensor of an adapter, or remove it."""
    file = adapter / "adapter_model.safetensors"
    tensors = load_file(file)
    value = how(tensors.pop(f"base_model.model.{name}"))
    if value is not None:
        tensors[f"base_model.model.{name}"] = value.contiguous()
    save_file(tensors, file)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    base = adapters.tiny_llama(tmp_path / "base")
    adapters.train(base, tmp_path / "adapter")
    return base, tmp_path / "adapter"


def refused(pair: tuple[Path, Path], *parts: str) -> None:
    with pytest.raises(ModelError) as caught:
        adapters.opened(*pair)
    text = str(caught.value)
    assert all(part in text for part in parts), text
    assert "\n" not in text and len(text) < 400


Q = "model.layers.0.self_attn.q_proj"


def test_wrong_bases(pair: tuple[Path, Path], tmp_path: Path) -> None:
    weights = models.weights(0)
    wide = {
        name: torch.cat([value, value]) if "q_proj" in name else value
        for name, value in weights.items()
    }
    models.write_model(tmp_path / "wide", wide)
    refused((tmp_path / "wide", pair[1]), "does not fit its base wide", "[32, 16]", "BASE+ADAPTER")
    shallow = {name: value for name, value in weights.items() if "layers.1" not in name}
    models.write_model(tmp_path / "shallow", shallow)
    refused((tmp_path / "shallow", pair[1]), "model.layers.1", "base shallow does not have")
    with pytest.raises(ModelError, match="BASE\\+ADAPTER"):
        Checkpoint.open(pair[1])


def test_rank_that_differs_from_the_config(pair: tuple[Path, Path]) -> None:
    models.change_json(pair[1] / "adapter_config.json", r=8)
    refused(pair, "rank 4", "says 8")


def test_half_a_pair(pair: tuple[Path, Path]) -> None:
    change(pair[1], f"{Q}.lora_B.weight", lambda value: None)
    refused(pair, "incomplete", Q)


def test_ranks_of_a_and_b_differ(pair: tuple[Path, Path]) -> None:
    change(pair[1], f"{Q}.lora_B.weight", lambda value: value[:, :3])
    refused(pair, "rank 4 and 3")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_named(pair: tuple[Path, Path], bad: float) -> None:
    def spoil(value: torch.Tensor) -> torch.Tensor:
        value[1, 2] = bad
        return value

    change(pair[1], f"{Q}.lora_A.weight", spoil)
    with adapters.opened(*pair) as both:
        kind = "NaN" if np.isnan(bad) else "an infinite value"
        with pytest.raises(ModelError, match=f"adapter adapter holds {kind} in .*{Q}.lora_A"):
            both.read_flat(f"{Q}.weight", 0, 1)


@pytest.mark.parametrize("seed", range(10))
def test_truncated_anywhere(pair: tuple[Path, Path], seed: int) -> None:
    file = pair[1] / "adapter_model.safetensors"
    n = file.stat().st_size
    os.truncate(
        file, random.Random(seed).choice([0, 7, 8, n - 1, random.Random(seed).randrange(n)])
    )
    refused(pair, "adapter/adapter_model.safetensors", "damaged or incomplete")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"peft_type": "IA3"}, "type IA3"),
        ({"peft_type": None}, "only LoRA"),
        ({"layer_replication": [[0, 2]]}, "layers of its base used several times"),
        ({"target_parameters": ["experts"]}, "bare parameters"),
        ({"use_qalora": True}, "QALoRA"),
        ({"alora_invocation_tokens": [1]}, "aLoRA"),
        ({"init_lora_weights": "pissa_niter_4"}, "pissa_niter_4, which changes"),
        ({"init_lora_weights": "olora"}, "olora"),
        ({"r": 0}, "no usable rank"),
        ({"r": "many"}, "no usable rank"),
        ({"r": None}, "no usable rank"),
        ({"lora_alpha": float("nan")}, "no usable rank"),
        ({"rank_pattern": {"(": 2}}, "no usable rank"),
        ({"rank_pattern": [1]}, "no usable rank"),
        ({"use_dora": True}, "lacks DoRA's magnitudes"),
    ],
)
def test_configs_that_cannot_be_applied(
    pair: tuple[Path, Path], changes: dict[str, Any], part: str
) -> None:
    models.change_json(pair[1] / "adapter_config.json", **changes)
    refused(pair, part)


def test_unknown_tensors_and_no_tensors(pair: tuple[Path, Path]) -> None:
    file = pair[1] / "adapter_model.safetensors"
    tensors = load_file(file)
    save_file({**tensors, f"base_model.model.{Q}.lora_E": torch.zeros(4)}, file)
    refused(pair, "lora_E", "no kind of LoRA")
    save_file({}, file)
    refused(pair, "holds no tensors")
    file.unlink()
    refused(pair, "has no adapter_model.safetensors")
    (pair[1] / "adapter_model.bin").write_bytes(b"x")
    refused(pair, "as a pickle")
    (pair[1] / "adapter_config.json").write_text(json.dumps([1]))
    refused(pair, "adapter_config.json is not a JSON object")
