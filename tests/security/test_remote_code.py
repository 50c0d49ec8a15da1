"""A model's own code runs only after it was looked at and agreed to, and never in a merge."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cli
from evaluation.errors import EvaluationFailure
from evaluation.scoring import remote_code
from evaluation.scoring.loading import load_model
from jobs.errors import JobError
from jobs.models import consent, registry
from jobs.running import prepare
from merging.engine import merge_to_folder
from merging.errors import ModelError
from merging.health.loading import try_model
from merging.recipes.recipe import Recipe
from tests.security import custom_code


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers copies code there before it runs it."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "m"))
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "mark"


@pytest.fixture
def odd(tmp_path: Path, mark: Path) -> Path:
    return custom_code.make(tmp_path / "odd", mark)


def test_code_runs_only_when_agreed_and_only_that_code(odd: Path, mark: Path) -> None:
    code = remote_code.look(odd)
    assert code is not None and not code.problem
    with pytest.raises(EvaluationFailure, match="does not run unless you agree"):
        load_model(odd, device="cpu")
    with pytest.raises(EvaluationFailure, match="does not run unless you agree"):
        load_model(odd, device="cpu", trusted_code=["0" * 64])
    assert not mark.exists()
    model, _ = load_model(odd, device="cpu", trusted_code=[code.fingerprint])
    assert type(model).__name__ == "OddForCausalLM"
    assert mark.exists()
    mark.unlink()
    with (odd / "modeling_odd.py").open("a") as file:
        file.write("# another line\n")
    with pytest.raises(EvaluationFailure, match="does not run unless you agree"):
        load_model(odd, device="cpu", trusted_code=[code.fingerprint])
    assert not mark.exists()


def test_code_of_another_repository_is_never_run(odd: Path) -> None:
    config = json.loads((odd / "config.json").read_text())
    config["auto_map"]["AutoModelForCausalLM"] = "other/repo--modeling.Evil"
    (odd / "config.json").write_text(json.dumps(config))
    code = remote_code.look(odd)
    assert code is not None
    assert not remote_code.may_run(code, [code.fingerprint])


def test_a_model_without_code_asks_nothing() -> None:
    assert remote_code.look(custom_code.PROJECT / "sandbox" / "base") is None


def test_consent_is_kept_and_asked_again_when_the_code_changes(home: Path, odd: Path) -> None:
    registry.register_model(str(odd), name="odd")
    code = consent.code_of(str(odd))
    assert code is not None and not consent.is_granted(code)
    assert prepare.subject("odd")["trusted_code"] == []
    with pytest.raises(JobError, match="changed while you looked"):
        consent.grant("odd", "0" * 64)
    consent.grant("odd", code.fingerprint)
    assert consent.is_granted(code)
    assert prepare.subject("odd")["trusted_code"] == [code.fingerprint]
    (kept,) = json.loads((home / consent.FILE).read_text()).values()
    assert kept["model"] == "odd" and kept["files"] == ["modeling_odd.py"]
    (odd / "modeling_odd.py").write_text("import os\n")
    changed = consent.code_of(str(odd))
    assert changed is not None and not consent.is_granted(changed)
    assert consent.was_granted("odd")
    assert consent.forget("odd") and not consent.granted()


def test_the_terminal_asks(home: Path, odd: Path) -> None:
    registry.register_model(str(odd), name="odd")
    run = CliRunner()
    said = run.invoke(cli.app, ["models", "--trust-remote-code", "odd"], input="n\n")
    assert "class OddForCausalLM" in said.output and "It does not run." in said.output
    assert consent.granted() == []
    run.invoke(cli.app, ["models", "--trust-remote-code", "odd"], input="y\n")
    assert len(consent.granted()) == 1
    run.invoke(cli.app, ["models", "--forget-remote-code", "odd"])
    assert consent.granted() == []


def test_a_merge_never_runs_code(tmp_path: Path, odd: Path, mark: Path) -> None:
    other = custom_code.make(tmp_path / "other", mark)
    recipe = Recipe(method="linear", models=[{"model": str(odd)}, {"model": str(other)}])
    out = tmp_path / "out"
    for _ in merge_to_folder(recipe, {str(odd): odd, str(other): other}, out):
        pass
    assert (out / "model.safetensors").exists()
    try_model(out, device="cpu")
    from merging.in_memory import merge_to_model

    with pytest.raises((ModelError, ValueError, KeyError)):
        list(merge_to_model(recipe, {str(odd): odd, str(other): other}, device="cpu"))
    assert not mark.exists()
    assert not list(out.rglob("*.py"))


def test_the_chat_process_asks_too(odd: Path, mark: Path) -> None:
    """The permission travels with each turn; without it a model is refused in a sentence."""
    code = remote_code.look(odd)
    assert code is not None
    turn = {
        "folder": str(odd),
        "label": "odd",
        "messages": [{"role": "user", "content": "Hi"}],
        "mode": "completion",
    }
    asked = [{**turn}, {**turn, "trusted_code": [code.fingerprint]}]
    lines = "".join(
        json.dumps({"do": "chat", "id": number, "turns": [one], "settings": {"max_new_tokens": 1}})
        + "\n"
        for number, one in enumerate(asked)
    )
    with subprocess.Popen(
        [sys.executable, "-m", "chat.child", "--device", "cpu"],
        cwd=custom_code.PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(lines)
        child.stdin.flush()
        said: list[dict[str, object]] = []
        while sum(one["event"] == "end" for one in said) < 2:
            said.append(json.loads(child.stdout.readline()))
            if said[-1]["event"] == "end" and said[-1]["id"] == 0:
                assert not mark.exists()
        child.stdin.close()
        child.wait(60)
    errors = [one for one in said if one["event"] == "error"]
    assert len(errors) == 1 and "does not run unless you agree" in str(errors[0]["text"])
    assert mark.exists()
