"""The head that looks at a part of the vocabulary at a time finds the whole one's best token."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from evaluation.scoring import screening
from evaluation.scoring.forward import Forward

IDS = torch.arange(24).reshape(2, 12)
WANTED = torch.tensor([3, 11, 23])


def _model(**more: Any) -> Any:
    from transformers import GraniteConfig, LlamaConfig, LlamaForCausalLM
    from transformers.models.gemma2 import Gemma2Config, Gemma2ForCausalLM
    from transformers.models.granite import GraniteForCausalLM

    torch.manual_seed(0)
    kinds = {
        "llama": (LlamaConfig, LlamaForCausalLM, {}),
        "granite": (GraniteConfig, GraniteForCausalLM, {"logits_scaling": -2.0}),
        "gemma2": (Gemma2Config, Gemma2ForCausalLM, {"head_dim": 8}),
    }
    config, model, extra = kinds[more.pop("family", "llama")]
    shape = {
        "vocab_size": 101, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.3,
    }  # fmt: skip
    return model(config(**shape, **extra, **more)).eval()


@pytest.mark.parametrize("part", [1, 7, 100, 101, 500])
@pytest.mark.parametrize("family", ["llama", "granite", "gemma2"])
def test_it_is_the_best_of_all_logits(
    monkeypatch: pytest.MonkeyPatch, family: str, part: int
) -> None:
    """Also where the model turns the head's logits round, and at the ends of parts."""
    monkeypatch.setattr(screening, "_PART", part)
    forward = Forward(_model(family=family))
    logits, _ = forward.logits(IDS, WANTED)
    for _ in range(3):  # the first call looks at the whole head
        best, highest = forward.likeliest(IDS, WANTED)
        assert best.tolist() == logits.argmax(-1).tolist()
        assert torch.allclose(highest, logits.amax(-1), atol=1e-5)


@pytest.mark.parametrize("entry", [0, 50, 100])
def test_nan_is_told_from_wherever_it_comes(monkeypatch: pytest.MonkeyPatch, entry: int) -> None:
    """One damaged row of the head."""
    monkeypatch.setattr(screening, "_PART", 40)
    model = _model()
    forward = Forward(model)
    forward.likeliest(IDS, WANTED)
    with torch.no_grad():
        model.lm_head.weight[entry] = torch.nan
    assert forward.likeliest(IDS, WANTED)[1].isnan().all()


def test_the_first_of_equal_entries_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the whole: the parts are asked in order."""
    monkeypatch.setattr(screening, "_PART", 10)
    model = _model()
    with torch.no_grad():
        model.lm_head.weight[:] = 0
    forward = Forward(model)
    forward.likeliest(IDS, WANTED)
    assert forward.likeliest(IDS, WANTED)[0].tolist() == [0, 0, 0]


def test_a_head_with_a_bias(monkeypatch: pytest.MonkeyPatch) -> None:
    """The part of the bias that belongs to the part of the head."""
    monkeypatch.setattr(screening, "_PART", 40)
    model = _model()
    model.lm_head.bias = torch.nn.Parameter(torch.linspace(-9, 9, 101).roll(30))
    forward = Forward(model)
    logits, _ = forward.logits(IDS, WANTED)
    forward.likeliest(IDS, WANTED)
    assert forward.likeliest(IDS, WANTED)[0].tolist() == logits.argmax(-1).tolist()
