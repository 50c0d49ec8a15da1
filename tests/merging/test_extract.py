"""A LoRA out of two models: PEFT loads it, and it holds what it says."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merging.checkpoints.checkpoint import Checkpoint
from merging.errors import MergingError
from merging.extract import extract_to_folder, low_rank
from merging.extract.low_rank import approximate
from tests.merging import models

pytest.importorskip("peft")


def extracted(
    base: Path, expert: Path, out: Path, **options: Any
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(events, result) of an extraction."""
    with Checkpoint.open(expert) as one, Checkpoint.open(base) as other:
        events, path = models.finish(extract_to_folder(one, other, out, **options))
    assert path == out and sorted(file.name for file in out.iterdir()) == [
        "README.md", "adapter_config.json", "adapter_model.safetensors"
    ]  # fmt: skip
    return events, events[-1]


def logits(folder: Path, adapter: Path | None = None) -> torch.Tensor:
    """What transformers, and PEFT, compute."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        if adapter is not None:
            model = PeftModel.from_pretrained(model, adapter)
    with torch.no_grad():
        return model.eval()(torch.arange(12).view(1, -1)).logits


@pytest.fixture(params=["untied", "tied"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    weights = models.weights(0, tied=request.param == "tied")
    base = models.write_model(tmp_path / "base", weights, dtype=torch.float32)
    tuned = models.tuned(weights, 1)
    return base, models.write_model(tmp_path / "expert", tuned, dtype=torch.float32)


def test_full_rank_is_the_expert(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Through PEFT, and through our own reader of adapters."""
    base, expert = pair
    events, result = extracted(*pair, tmp_path / "lora", rank=999, others="whole")
    assert result["captured"] == pytest.approx(1)
    assert not [event for event in events if event["kind"] == "warning"]
    torch.testing.assert_close(
        logits(base, tmp_path / "lora"), logits(expert), rtol=1e-4, atol=1e-5
    )
    assert not torch.allclose(logits(base), logits(expert), atol=1e-2)
    own = Checkpoint.open(tmp_path / "lora", base=Checkpoint.open(base))
    with own, Checkpoint.open(expert) as wanted:
        assert own.is_tied == wanted.is_tied
        for name in wanted.tensors:
            torch.testing.assert_close(own.read(name), wanted.read(name), rtol=1e-5, atol=1e-6)


def test_a_low_rank_is_the_best_of_that_rank(pair: tuple[Path, Path], tmp_path: Path) -> None:
    base, expert = pair
    _, result = extracted(*pair, tmp_path / "lora", rank=3)
    first, second = models.stored(base), models.stored(expert)
    adapter = models.stored(tmp_path / "lora")
    assert json.loads((tmp_path / "lora" / "adapter_config.json").read_text())["r"] == 3
    total = kept = 0.0
    for name in first:
        tau = (second[name] - first[name]).double()
        total += float(tau.square().sum())
        found = next((one for one in result["tensors"] if one["name"] == name), None)
        if found is None:
            assert "proj" not in name
            continue
        values = torch.linalg.svdvals(tau).square()
        share = float(values[:3].sum() / values.sum())
        assert found["captured"] == pytest.approx(share, rel=1e-6)
        module = f"base_model.model.{name.removesuffix('.weight')}"
        product = adapter[f"{module}.lora_B.weight"] @ adapter[f"{module}.lora_A.weight"]
        rest = float((tau - product).square().sum() / tau.square().sum())
        assert rest == pytest.approx(1 - share, abs=1e-5)
        kept += share * float(tau.square().sum())
    assert result["captured"] == pytest.approx(kept / total, rel=1e-6)
    assert logits(base, tmp_path / "lora").isfinite().all()


def test_what_is_left_out_is_said(pair: tuple[Path, Path], tmp_path: Path) -> None:
    events, result = extracted(*pair, tmp_path / "lora", rank=999)
    said = [event["text"] for event in events if event["kind"] == "warning"]
    assert len(said) == 1 and " more as the base has them: " in said[0]
    assert 0.3 < result["captured"] < 0.99
    # two norms a layer, the last one, and one or two embeddings
    n_left = 6 if "lm_head.weight" not in models.stored(pair[0]) else 7
    card = (tmp_path / "lora" / "README.md").read_text()
    assert f"{n_left} other tensors that differ are not in it" in card


def test_biases_and_another_dtype(tmp_path: Path) -> None:
    """Qwen2 has biases inside the layers that get a LoRA."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=48, hidden_size=16, intermediate_size=24, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=False,
    )  # fmt: skip
    for i, name in enumerate(("base", "expert")):
        torch.manual_seed(i)
        model = Qwen2ForCausalLM(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        model.save_pretrained(tmp_path / name)
    pair = tmp_path / "base", tmp_path / "expert"
    extracted(*pair, tmp_path / "lora", rank=99, others="whole")
    torch.testing.assert_close(
        logits(pair[0], tmp_path / "lora"), logits(pair[1]), rtol=1e-4, atol=1e-5
    )
    with Checkpoint.open(tmp_path / "lora", base=Checkpoint.open(pair[0])) as own:
        name = "model.layers.0.self_attn.q_proj.bias"
        assert own.read(name).equal(models.stored(pair[1])[name])
    extracted(*pair, tmp_path / "small", rank=2, dtype="bfloat16")
    assert {str(one.dtype) for one in models.stored(tmp_path / "small").values()} == {
        "torch.bfloat16"
    }


def test_a_model_whose_weights_lie_transposed(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=20, n_positions=16)
    for i, name in enumerate(("base", "expert")):
        torch.manual_seed(i)
        GPT2LMHeadModel(config).save_pretrained(tmp_path / name)
    pair = tmp_path / "base", tmp_path / "expert"
    extracted(*pair, tmp_path / "lora", rank=99, others="whole")
    torch.testing.assert_close(
        logits(pair[0], tmp_path / "lora"), logits(pair[1]), rtol=1e-4, atol=1e-5
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**31))
def test_the_randomised_method_is_nearly_the_best(rank: int, seed: int) -> None:
    """On slowly falling singular values, the hard case: within half a percent of the optimum."""
    generator = torch.Generator().manual_seed(seed)
    spectrum = torch.arange(1, 301).double().pow(-0.3)
    u, _ = torch.linalg.qr(torch.randn(400, 300, generator=generator).double())
    v, _ = torch.linalg.qr(torch.randn(300, 300, generator=generator).double())
    matrix = ((u * spectrum) @ v.T).float()
    before = low_rank.EXACT_ELEMENTS
    low_rank.EXACT_ELEMENTS = 0
    try:
        found = approximate(matrix, rank, "x")
    finally:
        low_rank.EXACT_ELEMENTS = before
    best = float(spectrum[:rank].square().sum() / spectrum.square().sum())
    assert 0.99 * best <= found.captured <= best * (1 + 1e-4)
    rest = matrix.double() - found.left.double() @ found.right.double()
    measured = 1 - float(rest.square().sum() / matrix.double().square().sum())
    assert found.captured == pytest.approx(measured, abs=1e-4)


def test_the_same_models_make_an_adapter_of_nothing(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    _, result = extracted(pair[0], pair[0], tmp_path / "lora", rank=4)
    assert result["captured"] == 1.0
    assert logits(pair[0], tmp_path / "lora").equal(logits(pair[0]))


def test_bad_wishes_and_bad_values(pair: tuple[Path, Path], tmp_path: Path) -> None:
    base, expert = pair
    out = tmp_path / "lora"
    for options, part in (
        ({"rank": 0}, "rank"),
        ({"dtype": "int8"}, "int8"),
        ({"others": "some"}, "some"),
    ):
        with pytest.raises(MergingError, match=part):
            extracted(base, expert, out, **options)
    other = models.write_model(tmp_path / "other", models.weights(0, vocabulary=20))
    shallow = {n: v for n, v in models.weights(0).items() if "layers.1" not in n}
    models.write_model(tmp_path / "shallow", shallow)
    weights = models.weights(0)
    weights["model.layers.1.mlp.up_proj.weight"][3, 3] = float("nan")
    models.write_model(tmp_path / "nan", weights)
    plain = models.write_model(tmp_path / "plain", models.weights(0))
    for first, second, part in (
        (plain, tmp_path / "nan", "not finite in tensor model.layers.1.mlp.up_proj.weight"),
        (plain, tmp_path / "shallow", "lacks"),
    ):
        with pytest.raises(MergingError, match=part):
            extracted(first, second, out)
    assert other.is_dir()
    out.mkdir()
    with pytest.raises(MergingError, match="exists already"):
        extracted(base, expert, out)
    assert not [name for name in os.listdir(tmp_path) if "partial" in name]
