"""From a recipe to scores without a folder: adapters, slices, other vocabularies, with parts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cli
from db.engine import close_databases
from db.queries import models as model_rows
from jobs.models import extracting, registry
from jobs.terminal import direct

TASKS = "sandbox_finance_firms,sandbox_chat_finance"
ASKED = ("--suite", "sandbox", "--tasks", TASKS, "--limit", "4", "--part", "search",
         "--split-seed", "4", "--split-share", "0.4")  # fmt: skip
SANDBOX = Path(__file__).resolve().parents[2] / "sandbox"


@pytest.fixture
def models_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("CRUCIBLE_WARM", "0")
    registry.ensure_sandbox()
    yield home
    close_databases()


def adapter(folder: Path) -> str:
    out = folder / "fin-lora"
    list(
        extracting.extract(
            "sandbox/finance", "sandbox/base", out, rank=8, others="leave", dtype="float32"
        )
    )
    return str(out)


def other_vocabulary(folder: Path) -> str:
    """The instruct model with two more tokens."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(SANDBOX / "instruct")
    model = AutoModelForCausalLM.from_pretrained(SANDBOX / "instruct")
    tokenizer.add_tokens(["<|new|>", "<|tool|>"])
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.save_pretrained(folder / "chatty")
    tokenizer.save_pretrained(folder / "chatty")
    return str(folder / "chatty")


def recipe(folder: Path, kind: str) -> str:
    ta = "name: mine\nmethod: task_arithmetic\nbase: sandbox/base\n"
    match kind:
        case "adapter":
            return f"{ta}models:\n  - model: {adapter(folder)}\n  - model: sandbox/instruct\n"
        case "vocabulary":
            return (f"{ta}tokenizer: union\nmodels:\n  - model: sandbox/finance\n"
                    f"  - model: {other_vocabulary(folder)}\n")  # fmt: skip
        case _:
            return (
                "name: mine\nmethod: passthrough\nmodels:\n  - model: sandbox/finance\n"
                "  - model: sandbox/math\nslices:\n"
                "  - sources: [{model: sandbox/finance, layers: [0, 3]}]\n"
                "  - sources: [{model: sandbox/math, layers: [1, 4]}]\n"
            )


def scores(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text())["models"][0]


@pytest.mark.parametrize("kind", ["adapter", "vocabulary", "slices"])
def test_a_recipe_in_memory_scores_as_its_folder(
    models_home: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(recipe(tmp_path, kind))
    assert cli.main(["evaluate", str(file), *ASKED, "--json", str(tmp_path / "a.json")]) == 0
    memory = scores(tmp_path / "a.json")
    assert (memory["model"], memory["part"], memory["refs"]) == ("mine", "search", [str(file)])
    assert memory["configuration"] == "search part (seed 4, 40 % search)"
    assert {s["n"] for s in memory["scores"].values()} == {4}

    # What is kept: a model without a folder, under its recipe's hash, with its parents.
    row = model_rows.model("mine")
    assert row is not None
    assert (row.source, row.role, row.fingerprint) == ("", "merge", row.recipe_hash)
    assert row.recipe_yaml and len(row.parents) >= 2
    assert not (models_home / "models").exists() or not any((models_home / "models").iterdir())

    capsys.readouterr()  # again: nothing is merged, nothing is asked
    assert cli.main(["evaluate", str(file), *ASKED, "--json", "-"]) == 0
    again = json.loads(capsys.readouterr().out)["models"][0]
    assert again["scores"] == memory["scores"]
    assert model_rows.model("mine-2") is None

    out = tmp_path / "folder"
    list(direct.merge(str(file), out))
    assert cli.main(["evaluate", str(out), *ASKED, "--json", str(tmp_path / "b.json")]) == 0
    folder = scores(tmp_path / "b.json")
    for task, score in memory["scores"].items():
        assert folder["scores"][task]["config_hash"] == score["config_hash"]
        assert folder["scores"][task]["prompts_hash"] == score["prompts_hash"]
        assert folder["scores"][task]["value"] == score["value"]
