"""Models in 16 bits on a CPU: scored in float32 unless asked otherwise, and sane either way."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from evaluation.run import evaluate, load_model, scoring_dtype
from evaluation.suites import load_suite
from tests.evaluation.conftest import of_kind, scores

HALF = ("float16", "bfloat16")
TOLERANCE = {"float16": 0.02, "bfloat16": 0.15}  # of a log-probability of a few tokens


def saved(pair: Any, folder: Path, dtype: str) -> Path:
    import copy

    import torch

    model, tokenizer = pair
    out = folder / dtype
    copy.deepcopy(model).to(getattr(torch, dtype)).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


def asked(folder: Path, suite: Path, **how: str) -> tuple[dict[str, dict[str, Any]], Any]:
    model, tokenizer = load_model(folder, device="cpu", **how)
    events = list(evaluate(model, tokenizer, load_suite(suite / "tiny.yaml")))
    assert of_kind(events, "task_error") == []
    return scores(events), model


def numbers(found: dict[str, dict[str, Any]]) -> list[float]:
    return [
        choice["loglikelihood"]
        for task in ("pick", "word", "rolling")
        for answer in found[task]["answers"]
        for choice in answer["choices"]
    ]


@pytest.mark.parametrize("dtype", HALF)
def test_a_model_in_16_bits_is_scored_in_float32(
    sandbox_pair: Any, suite_folder: Path, tmp_path: Path, dtype: str
) -> None:
    import torch

    folder = saved(sandbox_pair, tmp_path, dtype)
    assert scoring_dtype(folder, device="cpu") == "float32"
    found, model = asked(folder, suite_folder)
    assert model.dtype == torch.float32
    assert {score["config"]["dtype"] for score in found.values()} == {"float32"}
    # The same numbers as the rounded weights give in float32: nothing is rounded a second time.
    weights = model.state_dict()
    half = getattr(torch, dtype)
    assert all(torch.equal(w, w.to(half).float()) for w in weights.values())
    assert all(math.isfinite(number) for number in numbers(found))


@pytest.mark.parametrize("dtype", HALF)
def test_scoring_in_16_bits_is_sane_and_says_so(
    sandbox_pair: Any, suite_folder: Path, tmp_path: Path, dtype: str
) -> None:
    import torch

    folder = saved(sandbox_pair, tmp_path, dtype)
    whole, _ = asked(folder, suite_folder)
    found, model = asked(folder, suite_folder, dtype=dtype)
    assert model.dtype == getattr(torch, dtype)
    assert {score["config"]["dtype"] for score in found.values()} == {dtype}
    for task, score in found.items():
        assert score["config_hash"] != whole[task]["config_hash"]  # never compared with float32
    for ours, theirs in zip(numbers(found), numbers(whole), strict=True):
        assert ours < 0
        assert abs(ours - theirs) < TOLERANCE[dtype] * max(1.0, abs(theirs) ** 0.5) * 4
    assert abs(found["rolling"]["value"] / whole["rolling"]["value"] - 1) < 0.02
    assert 0 <= found["pick"]["value"] <= 1
    assert all(answer["output"] is not None for answer in found["free"]["answers"])


def test_values_beyond_float16_are_named_and_not_scored(
    sandbox_pair: Any, suite_folder: Path
) -> None:
    """Activations that float16 cannot hold become NaN: each task says so, nothing gets a number."""
    import copy

    import torch

    model = copy.deepcopy(sandbox_pair[0])
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.mul_(1e6)
    events = list(
        evaluate(model.to(torch.float16), sandbox_pair[1], load_suite(suite_folder / "tiny.yaml"))
    )
    errors = of_kind(events, "task_error")
    assert len(errors) == 4 and all("NaN" in error["text"] for error in errors)
    assert scores(events) == {}
