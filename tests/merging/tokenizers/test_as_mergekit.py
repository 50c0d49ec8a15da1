"""Embedding rows as mergekit 0.1.5 lines them up.

Needs mergekit in a virtual environment of its own: MERGEKIT_PYTHON=PATH python -m pytest ...
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from merging.engine import merge_to_folder
from merging.recipes.recipe import Recipe
from tests.merging.models import Tensors, finish
from tests.merging.tokenizers import family
from tests.merging.tokenizers.family import END, START, N

PYTHON = os.environ.get("MERGEKIT_PYTHON", "")
WEIGHTS = {"expert": 0.7, "instruct": 0.6}
LISTED = [{"model": ref, "parameters": {"weight": weight}} for ref, weight in WEIGHTS.items()]
OURS = [{"model": ref, "weight": weight} for ref, weight in WEIGHTS.items()]
MODEL_TOKEN = {"kind": "model_token", "model": "expert", "token": "<|yen|>"}
TOKENS = {
    START: {"source": MODEL_TOKEN},
    END: {"source": "instruct", "force": True},
    "<|pad|>": {"source": {"kind": "zero"}, "force": True},
    "<|new|>": {"source": {"kind": "model_token", "model": "base", "token_id": 77}},
    "<|zero|>": {"source": {"kind": "zero"}},
    "<|user|>": {"source": "expert"},
}
# mergekit's tokenizer, and ours for it
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "base": ({"source": "base"}, {"tokenizer": "base"}),
    "model": ({"source": "instruct"}, {"tokenizer": "instruct"}),
    "union": ({"source": "union"}, {"tokenizer": "union"}),
    "multiple": (
        {"source": "instruct", "pad_to_multiple_of": 64},
        {"tokenizer": "instruct", "pad_to_multiple_of": 64},
    ),
    "tokens": (
        {"source": "instruct", "tokens": TOKENS},
        {"tokenizer": "instruct", "tokens": TOKENS},
    ),
    "union and tokens": (
        {"source": "union", "tokens": TOKENS, "pad_to_multiple_of": 16},
        {"tokenizer": "union", "tokens": TOKENS, "pad_to_multiple_of": 16},
    ),
}
METHODS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "task_arithmetic": (
        {"merge_method": "task_arithmetic", "base_model": "base", "models": LISTED},
        {"method": "task_arithmetic", "base": "base", "models": OURS},
    ),
    # no base: what only some have is the mean of theirs
    "linear": (
        {
            "merge_method": "linear",
            "models": [{"model": "base", "parameters": {"weight": 0.5}}, *LISTED],
            "parameters": {"normalize": False},
        },
        {
            "method": "linear",
            "models": [{"model": "base", "weight": 0.5}, *OURS],
            "options": {"normalize": False},
        },
    ),
}
NAMES = [f"{method}, {case}" for method in METHODS for case in CASES]


@pytest.fixture(scope="module")
def merges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders NAME/theirs and NAME/ours."""
    if not PYTHON:
        pytest.skip("MERGEKIT_PYTHON names no Python with mergekit")
    root = tmp_path_factory.mktemp("as_mergekit")
    plain = family.plain()
    tokenizers = {
        "base": family.permuted(plain),
        "expert": family.with_added(plain, "<|yen|>", START),
        "instruct": family.with_added(plain, START, END),
    }
    parents: dict[str, Tensors] = {}
    for seed, (ref, data) in enumerate(tokenizers.items()):
        rows = N + (2 if seed else 0)
        parents[ref] = family.make(root / ref, seed, data, rows=rows, base=parents.get("base"))
    asked = []
    for name in NAMES:
        theirs, ours = recipes(name)
        placed = json.dumps({**theirs, "dtype": "float32"})
        for ref in parents:
            placed = placed.replace(f'"model": "{ref}"', f'"model": "{root / ref}"')
            placed = placed.replace(f'"source": "{ref}"', f'"source": "{root / ref}"')
        placed = placed.replace('"base_model": "base"', f'"base_model": "{root / "base"}"')
        if "base_model" in theirs:
            placed = placed.replace(f'"source": "{root / "base"}"', '"source": "base"')
        asked.append((json.loads(placed), str(root / name / "theirs")))
        folders = {ref: root / ref for ref in parents}
        finish(merge_to_folder(Recipe(**ours), folders, root / name / "ours", device="cpu"))
    run = subprocess.run(
        [PYTHON, str(Path(__file__).parent / "run_mergekit.py")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return root


def recipes(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """mergekit's recipe and ours."""
    method, case = name.split(", ")
    theirs, ours = METHODS[method]
    return {**theirs, "tokenizer": CASES[case][0]}, {**ours, **CASES[case][1]}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tensor", ["model.embed_tokens.weight", "lm_head.weight"])
def test_every_token_has_mergekit_s_row(name: str, tensor: str, merges: Path) -> None:
    theirs, ours = (one_row_per_token(merges / name / side, tensor) for side in ("theirs", "ours"))
    assert theirs.keys() == ours.keys()
    differing = [token for token, row in theirs.items() if (ours[token] - row).abs().max() > 2e-6]
    assert not differing


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_padding_are_mergekit_s(name: str, merges: Path) -> None:
    theirs, ours = (
        load_file(merges / name / side / "model.safetensors") for side in ("theirs", "ours")
    )
    n_tokens = len(one_row_per_token(merges / name / "theirs", "lm_head.weight"))
    for tensor in ("model.embed_tokens.weight", "lm_head.weight"):
        assert theirs[tensor].shape == ours[tensor].shape
        padding = theirs[tensor][n_tokens:]
        assert torch.allclose(padding, ours[tensor][n_tokens:], atol=2e-6)
        assert len(padding) == 0 or "multiple" in name or "union and tokens" in name


def one_row_per_token(folder: Path, tensor: str) -> dict[str, torch.Tensor]:
    """Token -> its row."""
    matrix = load_file(folder / "model.safetensors")[tensor]
    numbers = family.ids(json.loads((folder / "tokenizer.json").read_text()))
    return {token: matrix[place] for token, place in numbers.items()}
