"""Merges of parents with different vocabularies, spoken to through their chat template."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from safetensors.torch import load_file, save_file

from merging.engine import merge_to_folder
from merging.recipes.recipe import Recipe
from tests.merging.models import Tensors, finish
from tests.merging.tokenizers import family, reference
from tests.merging.tokenizers.family import END, START, N

WEIGHTS = {"expert": 0.7, "instruct": 0.6}


class Case(NamedTuple):
    """Tokenizers and rows of base, expert and instruct, and what is asked for."""

    tokenizers: tuple[dict[str, Any], dict[str, Any], dict[str, Any]]
    rows: tuple[int, int, int]
    n_rows: int
    tied: tuple[bool, bool, bool] = (False, False, False)
    settings: dict[str, Any] = {}
    chat_ids: tuple[int, int] = (N, N + 1)


def cases() -> dict[str, Case]:
    """By name."""
    plain = family.plain()
    chat = family.with_added(plain, START, END)
    domain = family.with_added(plain, "<|yen|>")
    longer = family.longer(plain, ("W", "h"), ("Wh", "at"))
    moved = family.permuted(plain)
    moved_chat = family.permuted(family.longer(plain), 1)
    moved_chat = family.with_added(moved_chat, START, END)
    small = (N, N, N + 2)
    return {
        "extra": Case((plain, plain, chat), small, N + 2),
        "extra, tied": Case((plain, plain, chat), small, N + 2, (True, True, True)),
        "extra, one tied": Case((plain, plain, chat), small, N + 2, (True, False, True)),
        "extra, one untied": Case((plain, plain, chat), small, N + 2, (True, True, False)),
        "padded": Case((plain, plain, chat), (N, N + 2, N + 64), N + 64),
        "padded base": Case((plain, plain, chat), (N + 64, N, N + 2), N + 2),
        "all padded alike": Case((plain, plain, chat), (N + 64,) * 3, N + 64),
        "permuted": Case((plain, moved, chat), small, N + 2),
        "permuted, tied": Case((moved, plain, moved_chat), small, N + 2, (True, True, True)),
        "multiple": Case((plain, plain, chat), small, N + 64, settings={"pad_to_multiple_of": 64}),
        "union": Case(
            (plain, domain, chat),
            (N, N + 1, N + 2),
            N + 3,
            settings={"tokenizer": "union"},
            chat_ids=(N + 1, N + 2),
        ),
        "union, tied": Case(
            (plain, domain, chat),
            (N, N + 1, N + 2),
            N + 3,
            (True, False, True),
            settings={"tokenizer": "union"},
            chat_ids=(N + 1, N + 2),
        ),
        "union of longer": Case(
            (plain, longer, chat),
            (N, N + 2, N + 2),
            N + 4,
            settings={"tokenizer": "union"},
            chat_ids=(N + 2, N + 3),
        ),
    }


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Every case merged, loaded by transformers in a process of its own, and spoken to."""
    root = tmp_path_factory.mktemp("spoken")
    asked = {}
    for number, (name, case) in enumerate(cases().items()):
        asked[name] = make(root / str(number), case)
    run = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "speak.py")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stderr[-3000:]
    found: dict[str, dict[str, Any]] = json.loads(run.stdout)
    for name, paths in asked.items():
        found[name]["stored"] = load_file(Path(paths[0]) / "model.safetensors")
        found[name]["expected"] = load_file(paths[1])
        found[name]["config"] = json.loads((Path(paths[0]) / "config.json").read_text())
    return found


def make(root: Path, case: Case) -> tuple[str, str]:
    """Write the parents, merge them, and merge them again by the reference."""
    parents: dict[str, Tensors] = {}
    for seed, ref in enumerate(("base", "expert", "instruct")):
        parents[ref] = family.make(
            root / ref,
            seed,
            case.tokenizers[seed],
            rows=case.rows[seed],
            base=parents.get("base"),
            tied=case.tied[seed],
            chat=ref == "instruct",
        )
    recipe = Recipe(
        method="task_arithmetic",
        base="base",
        models=[
            {"model": "expert", "weight": WEIGHTS["expert"]},
            {"model": "instruct", "role": "instruct", "weight": WEIGHTS["instruct"]},
        ],
        **case.settings,
    )
    folders = {ref: root / ref for ref in parents}
    finish(merge_to_folder(recipe, folders, root / "out", device="cpu", chunk_elements=1000))
    numbers = {ref: family.ids(data) for ref, data in zip(parents, case.tokenizers, strict=True)}
    result = family.ids(json.loads((root / "out" / "tokenizer.json").read_text()))
    expected = reference.merged(parents, numbers, result, case.n_rows, WEIGHTS, tied=all(case.tied))
    if case.settings.get("pad_to_multiple_of"):
        # rows that nobody has are the mean of all others
        for tensor in (one for one in expected.values() if len(one) == case.n_rows):
            tensor[N + 2 :] = tensor[: N + 2].mean(dim=0)
    save_file(expected, root / "expected.safetensors")
    return str(root / "out"), str(root / "expected.safetensors")


@pytest.mark.parametrize("name", cases())
def test_the_merge_is_the_plain_one_token_by_token(
    name: str, spoken: dict[str, dict[str, Any]]
) -> None:
    found = spoken[name]
    assert set(found["stored"]) == set(found["expected"])
    for tensor, expected in found["expected"].items():
        stored = found["stored"][tensor]
        assert stored.shape == expected.shape, tensor
        assert (stored - expected).abs().max() < 2e-6, tensor


@pytest.mark.parametrize("name", cases())
def test_it_speaks_through_its_chat_template(name: str, spoken: dict[str, dict[str, Any]]) -> None:
    found, case = spoken[name], cases()[name]
    start, end = case.chat_ids
    assert (found["vocabulary"][START], found["vocabulary"][END]) == (start, end)
    assert found["prompt"].count(start) == 4 and found["prompt"].count(end) == 3
    assert found["text"].count(START) == 4
    assert found["difference"] < 1e-4 * max(1.0, found["size"])
    assert found["answer"] == found["expected_answer"]
    assert len(found["answer"]) > len(found["prompt"])


@pytest.mark.parametrize("name", cases())
def test_config_rows_ends_and_ids_agree(name: str, spoken: dict[str, dict[str, Any]]) -> None:
    found, case = spoken[name], cases()[name]
    assert found["shape"][0] == found["config"]["vocab_size"] == case.n_rows
    assert max(found["vocabulary"].values()) < case.n_rows
    assert found["eos"] == [case.chat_ids[1]] * 3
    assert found["tied"] == all(case.tied) == found["config"]["tie_word_embeddings"]
    assert not found["missing"] or (all(case.tied) and found["missing"] == ["lm_head.weight"])
