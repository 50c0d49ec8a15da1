"""The terminal as a user meets it: real processes, exit codes, one sentence for each mistake."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

import cli
from jobs.kinds import threads
from jobs.terminal import direct

PROJECT = Path(__file__).resolve().parent.parent
RECIPE = """\
name: finance-chat
method: instruction_residual
base: sandbox/base
models:
  - {model: sandbox/finance, role: expert}
  - {model: sandbox/instruct, role: instruct}
"""


def run(*arguments: str, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROJECT / "cli.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=home,
        env={**os.environ, "CRUCIBLE_HOME": str(home), **more},
    )


def refused(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one sentence of a command that failed as it should."""
    assert done.returncode == code, done.stderr
    lines = done.stderr.strip().splitlines()
    assert "Traceback" not in done.stderr
    assert lines
    return lines[-1]


def refused_here(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The same in this process, which saves its start; the sentence of a wrong input."""
    assert cli.main(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One home for the commands that read only."""
    yield tmp_path_factory.mktemp("shared")


@pytest.fixture
def here(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CRUCIBLE_HOME", str(shared))
    monkeypatch.chdir(shared)
    return shared


def names(app: typer.Typer, prefix: str = "") -> list[str]:
    found = [prefix + str(one.name or one.callback.__name__) for one in app.registered_commands]
    for group in app.registered_groups:
        found += names(group.typer_instance, f"{prefix}{group.name} ")
    return found


def test_every_command_is_documented_and_no_other() -> None:
    text = (PROJECT / "docs" / "cli.md").read_text(encoding="utf-8")
    documented = re.findall(r"^### `python cli\.py ((?:[a-z]+ ?)+)", text, re.MULTILINE)
    assert sorted(one.strip() for one in documented) == sorted(names(cli.app))


def test_every_option_is_documented(shared: Path) -> None:
    text = (PROJECT / "docs" / "cli.md").read_text(encoding="utf-8")
    for command in names(cli.app):
        shown = run(*command.split(), "--help", home=shared)
        assert shown.returncode == 0
        section = text.split(f"### `python cli.py {command}")[1].split("\n#")[0]
        for option in set(re.findall(r"--[a-z]+", shown.stdout)) - {"--help"}:
            assert option in section, f"{command} {option}"


def test_quickstart_and_what_it_leaves(tmp_path: Path) -> None:
    first = run("quickstart", "--json", "scores.json", home=tmp_path)
    assert first.returncode == 0, first.stderr
    data = json.loads((tmp_path / "scores.json").read_text())
    assert [one["model"] for one in data["models"]] == [
        "finance-chat", "sandbox/base", "sandbox/finance", "sandbox/instruct",
    ]  # fmt: skip
    merge = data["models"][0]
    assert merge["complete"] and merge["parents"][0]["role"] == "base"
    assert merge["best_parent"]["model"].startswith("sandbox/")
    assert len(merge["scores"]) == len(data["tasks"])
    chat = "sandbox_chat_finance"  # the demonstration: the merge can what no parent can
    parents = [one["scores"][chat]["value"] for one in data["models"][1:]]
    assert merge["scores"][chat]["value"] > max(parents) + 0.15
    assert "finance-chat" in first.stdout

    began = time.monotonic()
    again = run("quickstart", home=tmp_path)
    assert "Everything was there already" in again.stdout
    assert time.monotonic() - began < 15

    board = run("leaderboard", "--suite", "sandbox", "--json", "-", home=tmp_path)
    rows = json.loads(board.stdout)["models"]
    assert [row["macro"] for row in rows] == sorted((r["macro"] for r in rows), reverse=True)
    listed = json.loads(run("models", "--json", "-", home=tmp_path).stdout)
    assert [one["model"] for one in listed][-1] == "finance-chat"
    assert "sandbox" in run("jobs", home=tmp_path).stdout


def test_merge_into_a_folder(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    done = run("merge", "r.yaml", "out", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "registered as out" in done.stdout
    assert (tmp_path / "out" / "model.safetensors").is_file()
    said = refused(run("merge", "r.yaml", "out", home=tmp_path), 2)
    assert "exists already" in said
    (listed,) = [
        one for one in json.loads(run("models", "--json", "-", home=tmp_path).stdout)
        if one["model"] == "out"
    ]  # fmt: skip
    assert listed["role"] == "merge" and len(listed["parents"]) == 3


@pytest.mark.sqlite
def test_large_folders_merge_alike_in_a_new_home_and_in_a_used_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The database of a new home is opened behind the merge; nothing else differs."""
    names = ("base", "finance", "instruct")
    for name in names:
        shutil.copytree(PROJECT / "sandbox" / name, tmp_path / name)
    (tmp_path / "r.yaml").write_text(RECIPE.replace("sandbox/", f"{tmp_path}/"))
    monkeypatch.setattr(threads, "SMALL_BYTES", 0)
    home = tmp_path / "home"
    monkeypatch.setenv("CRUCIBLE_HOME", str(home))
    opened = []
    real = direct._open_database
    monkeypatch.setattr(direct, "_open_database", lambda: (opened.append(1), real()))
    assert not (home / "crucible.db").exists()
    for out in ("new", "used"):
        assert cli.main(["merge", str(tmp_path / "r.yaml"), str(tmp_path / out)]) == 0
        assert f"registered as {out}" in capsys.readouterr().out
    assert opened == [1]  # once: then there was a database
    for file in ("model.safetensors", "recipe.yaml", "health.json"):
        assert (tmp_path / "new" / file).read_bytes() == (tmp_path / "used" / file).read_bytes()


def test_a_merge_stays_when_the_new_database_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("base", "finance", "instruct"):
        shutil.copytree(PROJECT / "sandbox" / name, tmp_path / name)
    (tmp_path / "r.yaml").write_text(RECIPE.replace("sandbox/", f"{tmp_path}/"))
    monkeypatch.setattr(threads, "SMALL_BYTES", 0)
    monkeypatch.setenv("CRUCIBLE_DATABASE_URL", f"sqlite:///{tmp_path}/no/such.db")
    assert cli.main(["merge", str(tmp_path / "r.yaml"), str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert "is written, but not registered" in said.err and "such.db" in said.err
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_merge_by_a_recipe_of_mergekit(tmp_path: Path) -> None:
    text = (
        "merge_method: ties\nbase_model: sandbox/base\nparameters: {density: 0.5, weight: 1}\n"
        "models: [{model: sandbox/finance}, {model: sandbox/math}]\n"
    )
    (tmp_path / "r.yaml").write_text(text)
    done = run("merge", "r.yaml", "out", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "election_weights: true" in (tmp_path / "out" / "recipe.yaml").read_text()
    (tmp_path / "bad.yaml").write_text(text.replace("density: 0.5", "rescale: true"))
    said = refused(run("merge", "bad.yaml", "other", home=tmp_path), 2)
    assert "rescale true" in said


def test_a_recipe_is_written_for_either_tool(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    there = run("recipe", "r.yaml", "--to", "mergekit", home=tmp_path)
    assert there.returncode == 0, there.stderr
    assert "merge_method: task_arithmetic" in there.stdout and "sandbox/finance" in there.stdout
    (tmp_path / "there.yaml").write_text(there.stdout)
    back = run("recipe", "there.yaml", home=tmp_path)
    assert back.returncode == 0 and "method: task_arithmetic" in back.stdout
    assert "crucible or mergekit" in refused(run("recipe", "r.yaml", "--to", "x", home=tmp_path), 2)
    (tmp_path / "w.yaml").write_text(RECIPE.replace("instruction_residual", "widen"))
    said = refused(run("recipe", "w.yaml", "--to", "mergekit", home=tmp_path), 2)
    assert "has no method widen" in said


def test_methods_and_suites(shared: Path) -> None:
    methods = json.loads(run("methods", "--json", "-", home=shared).stdout)
    assert {"linear", "slerp", "task_arithmetic", "ties"} <= {one["name"] for one in methods}
    assert all(one["summary"] for one in methods)
    suites = json.loads(run("suites", "--json", "-", home=shared).stdout)
    assert "sandbox" in {one["name"] for one in suites}
    assert "task_arithmetic" in run("methods", home=shared).stdout


def test_suites_say_which_public_files_they_need(shared: Path) -> None:
    shown = run("suites", home=shared, CRUCIBLE_DATA_DIR=str(shared / "none"))
    assert "jfinqa needs jfinqa/jfinqa_v1.json, published at https://" in shown.stdout
    assert f"looked for in {shared / 'none'}" in shown.stdout


def test_public_files_in_a_folder_of_ones_own(shared: Path, tmp_path: Path) -> None:
    (tmp_path / "mgsm").mkdir()
    (tmp_path / "mgsm" / "mgsm_en.tsv").write_text("What is 1 + 1?\t2\n", encoding="utf-8")
    done = run("evaluate", "sandbox/base", "--suite", "general-ja-math", "--data-dir",
               str(tmp_path), "--json", "-", home=shared)  # fmt: skip
    assert refused(done, 1).startswith("3 scores are missing")
    assert f"mgsm/mgsm_ja.tsv is not in the data folder {tmp_path}" in done.stderr
    (model,) = json.loads(done.stdout)["models"]
    assert list(model["scores"]) == ["mgsm_en_zero_shot"]


def test_warnings_of_an_evaluation_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    from jobs.terminal import show

    noted = {"model": "m", "warnings": ["t: of 4 replies 1 give no answer."]}
    rows: Any = [SimpleNamespace(title="Score m", result=noted),
                 SimpleNamespace(title="Score n", result=None)]  # fmt: skip
    show.tell_warnings(rows)
    assert capsys.readouterr().out == "m: t: of 4 replies 1 give no answer.\n"


WRONG = [
    (["nonsense"], "No such command"),
    (["evaluate", "sandbox/base"], "--suite"),
    (["evaluate", "--suite", "sandbox"], "'models"),
    (["evaluate", "nobody", "--suite", "sandbox"], "There is no model “nobody”"),
    (["evaluate", "sandbox/fnance", "--suite", "sandbox"], "Did you mean sandbox/finance"),
    (["evaluate", "sandbox/base", "--suite", "sandbx"], "Did you mean 'sandbox'"),
    (["evaluate", "sandbox/base", "--suite", "sandbox", "--limit", "0"], "at least 1"),
    (["evaluate", "sandbox/base", "--suite", "sandbox", "--limit", "x"], "--limit"),
    (["evaluate", "sandbox/base", "--suite", "tatqa", "--data-dir", "none"], "--data-dir"),
    (["evaluate", "sandbox/base", "--suite", "sandbox", "--device", "tpu"], "no device 'tpu'"),
    (["evaluate", "sandbox/base", "--suite", "sandbox", "--json", "no/x.json"], "no/x.json"),
    (["evaluate", "none.yaml", "--suite", "sandbox"], "none.yaml cannot be read"),
    (["evaluate", ".", "--suite", "sandbox"], "no weights"),
    (["merge", "none.yaml", "out"], "none.yaml cannot be read"),
    (["merge", "r.yaml", "out", "--device", "tpu"], "no device 'tpu'"),
    (["leaderboard", "--suite", "nothing"], "There is no suite 'nothing'"),
    (["cancel", "77"], "no waiting or running job 77"),
    (["cancel", "x"], "'job'"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=[" ".join(one[0]) for one in WRONG])
def test_wrong_input_is_one_sentence_and_code_2(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    (here / "r.yaml").write_text(RECIPE)
    assert words in refused_here(arguments, capsys)
    assert not (here / "out").exists()


WRONG_RECIPES = [
    ("instruction_residual", "instruction_residua", "Did you mean"),
    ("method:", "methods:", "methods"),
    ("sandbox/finance", "sandbox/financ", "Did you mean sandbox/finance"),
    ("models:", "options: {alfa: 2}\nmodels:", "alfa"),
    ("models:", "options: {alpha: 1e9}\nmodels:", "alpha"),
    ("base: sandbox/base\n", "", "base"),
    ("name: finance-chat", "name: [", "YAML"),
]


@pytest.mark.parametrize(("old", "new", "words"), WRONG_RECIPES)
def test_wrong_recipes_are_one_sentence_and_code_2(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, words: str
) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(RECIPE.replace(old, new))
    assert words in refused_here(["merge", str(recipe), str(tmp_path / "out")], capsys)
    assert not (tmp_path / "out").exists()


def damage(folder: Path, how: str) -> None:
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    if how == "truncated":
        weights.write_bytes(content[: len(content) // 2])
    if how == "header":
        weights.write_bytes(struct.pack("<Q", 1 << 60) + content[8:])
    if how == "empty":
        weights.write_bytes(b"")
    if how == "nan":  # the last value of the last tensor, bfloat16
        weights.write_bytes(content[:-2] + b"\xc0\x7f")
    if how == "config":
        (folder / "config.json").write_text("{not json")


@pytest.mark.parametrize("how", ["truncated", "header", "empty", "nan", "config"])
def test_a_damaged_parent_is_one_sentence_and_nothing_is_left(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    parent = tmp_path / "parent"
    shutil.copytree(PROJECT / "sandbox" / "finance", parent)
    damage(parent, how)
    recipe = tmp_path / "r.yaml"
    recipe.write_text(RECIPE.replace("sandbox/finance", str(parent)))
    assert "parent" in refused_here(["merge", str(recipe), str(tmp_path / "out")], capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parent", "r.yaml"]


@pytest.mark.sqlite
def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "crucible.db") as raw:
        raw.execute("PRAGMA user_version = 99")
    assert "newer version of Crucible" in refused(run("models", home=tmp_path), 2)


@pytest.mark.sqlite
def test_a_broken_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "crucible.db").write_text("no database " * 100)
    assert "is not a database" in refused(run("models", home=tmp_path), 2)


@pytest.mark.sqlite
def test_a_home_in_the_way_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("models", home=tmp_path, CRUCIBLE_HOME=str(tmp_path / "file" / "home"))
    assert "cannot be created" in refused(done, 1)


def test_an_unforeseen_error_is_told_with_its_log(tmp_path: Path) -> None:
    code = (
        "import cli, jobs.models.registry\n"
        "def broken(): raise ZeroDivisionError('by accident')\n"
        "jobs.models.registry.ensure_sandbox = broken\n"
        "raise SystemExit(cli.main(['models']))"
    )
    environment = {**os.environ, "CRUCIBLE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=environment, text=True,
                          capture_output=True)  # fmt: skip
    said = refused(done, 1)
    log = tmp_path / "logs" / "cli.log"
    assert said == f"Unexpected ZeroDivisionError: by accident. The details are in {log}."
    assert "Traceback" in log.read_text()


def test_ctrl_c_cancels_the_jobs_and_leaves_no_process(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, str(PROJECT / "cli.py"), "quickstart"],
        env={**os.environ, "CRUCIBLE_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell starts what is in its background with Ctrl-C ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while not states(tmp_path).count("running") and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1] == "Interrupted."
    assert "Traceback" not in errors
    assert set(states(tmp_path)) <= {"cancelled", "done"}
    assert "cancelled" in states(tmp_path)


def states(home: Path) -> list[Any]:
    url = os.environ.get("CRUCIBLE_DATABASE_URL") or f"sqlite:///{home / 'crucible.db'}"
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            return list(connection.scalars(text("SELECT state FROM jobs")))
    except SQLAlchemyError:  # not there yet
        return []
