"""Generation on plain functions: the model's own logits, texts and fallbacks."""

from __future__ import annotations

from typing import Any

import pytest

from tests.evaluation.conftest import TOKENIZERS, make_model

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"attention_bias": True, "mlp_bias": True},
    "mistral": {"sliding_window": None},
    "qwen2": {},
    "qwen3": {},
    "gemma": {},
}
PROMPTS = [[5, 9, 300, 7], [11], [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], [200, 201]]


def cache_for(decoder: Any, rows: int, capacity: int, dtype: Any) -> Any:
    import torch

    from evaluation.scoring.cache import SlotCache

    return SlotCache(
        len(decoder.layers),
        rows,
        decoder.kv_heads,
        capacity,
        decoder.size,
        dtype,
        torch.device("cpu"),
    )


@pytest.mark.parametrize("kernel", [False, True])
@pytest.mark.parametrize("reorder", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_the_models_own(
    family: str, reorder: bool, kernel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompts of different lengths in one batch, several steps."""
    import torch

    from evaluation.scoring import decoder as module

    monkeypatch.setattr(module, "may_reorder", lambda _: reorder)
    model = make_model(TOKENIZERS["byte"](), family=family, **FAMILIES[family])
    with torch.no_grad():  # weights that a mistake in the norms would show in
        for name, weight in model.named_parameters():
            if "norm" in name or "bias" in name:
                weight += torch.randn(weight.shape) * 0.2
    decoder = module.decoder_of(model)
    assert decoder is not None
    cache = cache_for(decoder, 4, 20, torch.float32)
    if kernel:
        pytest.importorskip("numba")
        cache.expect(10**12, decoder.heads)
        assert cache._kernel is not None
    texts = [list(prompt) for prompt in PROMPTS]
    with torch.inference_mode():
        hidden = decoder.prefill([torch.tensor(t) for t in texts], cache, [0, 1, 2, 3])
        for _ in range(5):
            logits = model.lm_head(hidden)
            for text, ours in zip(texts, logits, strict=True):
                theirs = model(torch.tensor([text])).logits[0, -1]
                torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
            best = logits.argmax(-1)
            texts = [[*t, int(b)] for t, b in zip(texts, best, strict=True)]
            hidden = decoder.step(best, cache)


@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_other_architectures_are_left_to_transformers(family: str) -> None:
    from evaluation.scoring.decoder import decoder_of

    sizes = {"n_embd": 48, "n_layer": 2, "n_head": 4} if family == "gpt2" else {}
    assert decoder_of(make_model(TOKENIZERS["byte"](), family=family, **sizes)) is None


def test_hooked_and_replaced_layers_are_left_to_transformers() -> None:
    """Adapters, quantised layers and probes act inside the modules that a decoder goes around."""
    import torch

    from evaluation.scoring.decoder import decoder_of

    class Adapted(torch.nn.Linear):
        pass

    tokenizer = TOKENIZERS["byte"]()
    model = make_model(tokenizer)
    assert decoder_of(model) is not None
    handle = model.model.layers[1].mlp.register_forward_hook(lambda *_: None)
    assert decoder_of(model) is None
    handle.remove()
    model.model.layers[1].mlp.up_proj = Adapted(48, 96, bias=False)
    assert decoder_of(model) is None
    assert (
        decoder_of(make_model(tokenizer, rope_scaling={"rope_type": "dynamic", "factor": 2.0}))
        is None
    )


def test_a_model_that_computes_something_else_is_noticed(instances: Any, hflm: Any) -> None:
    """A Llama whose forward was changed still gives its own texts, and the run says why."""
    from evaluation.scoring.scorer import Scorer

    tokenizer = TOKENIZERS["byte"]()
    model = make_model(tokenizer)

    class Shifted(type(model)):  # type: ignore[misc]
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            output = super().forward(*args, **kwargs)
            output.logits = output.logits.flip(-1)
            return output

    Shifted.__name__ = type(model).__name__
    model.__class__ = Shifted
    asked = [("The cat", {"until": ["\n"], "max_gen_toks": 8, "do_sample": False})]
    warnings: list[str] = []
    ours = Scorer(model, tokenizer, warn=warnings.append).generate_until(
        instances("generate_until", [(c, dict(o)) for c, o in asked])
    )
    theirs = hflm(model, tokenizer, batch_size=1).generate_until(
        instances("generate_until", asked), disable_tqdm=True
    )
    assert ours == theirs
    assert "layer by layer" in warnings[0]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_within_its_rounding(dtype: str, instances: Any) -> None:
    import torch

    from evaluation.scoring.scorer import Scorer

    tokenizer = TOKENIZERS["byte"]()
    model = make_model(tokenizer).to(getattr(torch, dtype))
    warnings: list[str] = []
    scorer = Scorer(model, tokenizer, warn=warnings.append)
    asked = [(c, {"until": [], "max_gen_toks": 8}) for c in ("The cat", "price 6, shares 5")]
    assert all(scorer.generate_until(instances("generate_until", asked)))
    assert warnings == []


def test_finished_rows_are_used_again_and_moved(instances: Any) -> None:
    """Answers of very different lengths through three rows: nobody gets another's words."""
    from evaluation.scoring.scorer import Scorer

    tokenizer = TOKENIZERS["byte"]()
    model = make_model(tokenizer)
    asked = [
        (f"numbers {i} and letters" * (1 + i % 3), {"until": [], "max_gen_toks": 2 + 5 * (i % 4)})
        for i in range(11)
    ]
    alone = [
        Scorer(model, tokenizer).generate_until(instances("generate_until", [(c, dict(o))]))[0]
        for c, o in asked
    ]
    for slots in (2, 3, 8):
        together = Scorer(model, tokenizer, slots=slots).generate_until(
            instances("generate_until", [(c, dict(o)) for c, o in asked])
        )
        assert together == alone
