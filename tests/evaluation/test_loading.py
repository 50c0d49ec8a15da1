"""Loading a model folder, whole and broken."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from evaluation.errors import EvaluationFailure, SuiteError
from evaluation.run import load_model, scoring_dtype
from tests.evaluation.conftest import run, scores


@pytest.fixture(scope="module")
def saved(sandbox_pair: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    sandbox_pair[0].save_pretrained(folder)
    sandbox_pair[1].save_pretrained(folder)
    return folder


def test_a_saved_model_loads_and_scores_the_same(
    saved: Path, sandbox_pair: Any, suite_folder: Path
) -> None:
    model, tokenizer = load_model(saved, device="cpu")
    assert str(model.dtype) == "torch.float32"
    before = scores(run(sandbox_pair, suite_folder, tasks=["pick"]))["pick"]
    after = scores(run((model, tokenizer), suite_folder, tasks=["pick"]))["pick"]
    assert after["answers"] == before["answers"]


def test_scoring_dtype(saved: Path) -> None:
    assert scoring_dtype(saved, device="cpu") == "float32"
    assert scoring_dtype(saved, device="cpu", dtype="bfloat16") == "bfloat16"
    with pytest.raises(SuiteError, match="no dtype 'int3'"):
        scoring_dtype(saved, dtype="int3")


def broken(saved: Path, target: Path, kind: str) -> Path:
    from safetensors.torch import load_file, save_file

    shutil.copytree(saved, target)
    weights = target / "model.safetensors"
    if kind == "no config":
        (target / "config.json").unlink()
    elif kind == "no weights":
        weights.unlink()
    elif kind == "pickle":
        weights.rename(target / "pytorch_model.bin")
    elif kind == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif kind == "missing tensor":
        tensors = load_file(weights)
        tensors.pop("model.layers.1.mlp.up_proj.weight")
        save_file(tensors, weights, metadata={"format": "pt"})
    elif kind == "no tokenizer":
        for file in target.glob("tokenizer*"):
            file.unlink()
    elif kind == "architecture":
        config = target / "config.json"
        config.write_text(config.read_text().replace('"llama"', '"unheard_of"'))
    return target


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("no config", "no config.json"),
        ("no weights", "no weights in safetensors"),
        ("pickle", "pickles; convert them"),
        ("truncated", "cannot be loaded"),
        ("missing tensor", "lacks the tensor model.layers.1.mlp.up_proj.weight of its"),
        ("no tokenizer", "has no tokenizer; copy"),
        ("architecture", "cannot be loaded"),
    ],
)
def test_a_broken_folder_is_one_sentence(saved: Path, tmp_path: Path, kind: str, said: str) -> None:
    with pytest.raises((SuiteError, EvaluationFailure), match=said) as caught:
        load_model(broken(saved, tmp_path / "m", kind), device="cpu")
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="no model folder"):
        load_model(tmp_path / "none")
    with pytest.raises(SuiteError, match="no device 'abacus'"):
        scoring_dtype(tmp_path, device="abacus")
