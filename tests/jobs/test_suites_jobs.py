"""Indexing lm-eval's names and getting data, as jobs; lm-eval's tasks through the terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evaluation.published.folder import DATA_DIR
from jobs.errors import JobError
from jobs.kinds import data, find
from jobs.suites.refs import compose
from tests.evaluation import published as made

ROOT = Path(__file__).resolve().parents[2]


def test_getting_what_nobody_has_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv(DATA_DIR, str(tmp_path))
    with pytest.raises(
        JobError, match="Its data file tatqa/.* is not in the data folder"
    ) as caught:
        list(data.run({"suite": "tatqa", "data_dir": str(tmp_path)}))
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    made.write_everything(tmp_path)
    *_, result = data.run({"suite": "finance-18", "data_dir": str(tmp_path)})
    assert result == {"kind": "result", "got": [], "missing": []}


def test_both_are_kinds_of_jobs() -> None:
    assert find("catalogue") and find("data") is data.run


@pytest.mark.parametrize(
    ("suite", "tasks", "given", "ref", "only"),
    [
        ("general", None, [], "general", None),
        (None, "mmlu_stem, gsm8k", [], "tasks:mmlu_stem+gsm8k", None),
        ("general", "hellaswag", ["num_fewshot=5"], "general@num_fewshot=5", ["hellaswag"]),
        ("general", None, {"apply_chat_template": True}, "general@apply_chat_template=true", None),
        ("a", None, ["system_instruction=x, y=1"], 'a@{"system_instruction": "x, y=1"}', None),
        ("a", None, ["prompt_version=1.0"], "a@prompt_version=1.0", None),
    ],
)
def test_what_is_asked_becomes_one_reference(
    suite: str | None, tasks: str | None, given: list[str], ref: str, only: list[str] | None
) -> None:
    assert compose(suite, tasks, given) == (ref, only)


def mmlu(folder: Path) -> Path:
    """Two subjects of MMLU as their repository has them, with two and six made-up items."""
    rows = [
        {"question": f"What is {i} + 1?", "subject": "x", "choices": list("1234"), "answer": i % 4}
        for i in range(6)
    ]
    parts = {"anatomy": 2, "astronomy": 6}
    for part, count in parts.items():
        for split in ("test", "dev"):
            made.write_parquet(
                folder, f"cais/mmlu/{part}/{split}-00000-of-00001.parquet", rows[:count]
            )
    configs = "".join(
        f"- config_name: {part}\n  data_files:\n  - {{split: test, path: {part}/test-*}}\n"
        f"  - {{split: dev, path: {part}/dev-*}}\n"
        for part in parts
    )
    made.write(folder, "cais/mmlu/README.md", f"---\nconfigs:\n{configs}---\n")
    return folder


def test_a_task_of_lm_evals_by_name_in_the_terminal(tmp_path: Path) -> None:
    folder = mmlu(tmp_path / "data")
    places = {"CRUCIBLE_HOME": str(tmp_path / "home"), DATA_DIR: str(folder)}
    env = {**os.environ, **places, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "cli.py"), "evaluate", "sandbox/base", *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=240)

    out = tmp_path / "out.json"
    done = run("--tasks", "mmlu_anatomy,mmlu_astronomy,hellaswag", "--set", "num_fewshot=1",
               "--json", str(out))  # fmt: skip
    # One dataset is nowhere: the others are scored, and the exit code says so.
    assert done.returncode == 1, done.stderr
    assert "Rowan/hellaswag is not on this machine" in done.stdout + done.stderr
    found = json.loads(out.read_text())
    assert found["suite"] == "tasks:mmlu_anatomy+mmlu_astronomy+hellaswag@num_fewshot=1"
    (row,) = found["models"]
    assert row["missing"] == ["hellaswag"] and not row["complete"]
    assert {task: score["n"] for task, score in row["scores"].items()} == {
        "mmlu_anatomy": 2, "mmlu_astronomy": 6,
    }  # fmt: skip
    again = run("--tasks", "mmlu_anatmy")
    assert again.returncode == 2 and "Did you mean 'mmlu_anatomy'" in again.stderr
