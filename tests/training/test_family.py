"""Building a family: events, files, and the same bytes whatever happens on the way."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.tiny import TINY
from training import build_family
from training.family import DEFAULT_SEED
from training.spec import load_spec


def digests(folder: Path) -> dict[str, str]:
    """Path inside `folder` -> SHA-256, for every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("family")
    for _ in build_family(TINY, out, seed=5, checkpoint_steps=7):
        pass
    return out


def test_events_tell_the_whole_story(tmp_path: Path) -> None:
    events = list(build_family(TINY, tmp_path, seed=6))
    assert [e["stage"] for e in events if e["kind"] == "stage"] == [
        "tokenizer",
        "base",
        "instruct",
        "tasks",
    ]
    progress = [e for e in events if e["kind"] == "progress"]
    assert {e["stage"] for e in progress} == {"base", "instruct"}
    assert all(0 < e["done"] <= e["total"] and e["unit"] == "steps" for e in progress)
    assert events[-1]["kind"] == "result"
    assert set(events[-1]["models"]) == {"base", "instruct"}
    assert events[-1]["items"] > 2_000


def test_the_folder_is_complete_and_nothing_else_is_left(built: Path) -> None:
    names = {path.name for path in built.iterdir()}
    assert names == {"base", "instruct", "tasks", "chat_template.jinja", "family.json"}
    assert (built / "instruct" / "chat_template.jinja").exists()
    assert not (built / "base" / "chat_template.jinja").exists()


def test_equal_seeds_give_equal_files_and_others_do_not(built: Path, tmp_path: Path) -> None:
    for name, seed in (("again", 5), ("other", 6)):
        for _ in build_family(TINY, tmp_path / name, seed=seed):
            pass
    assert digests(tmp_path / "again") == digests(built)
    weights = "base/model.safetensors"
    assert digests(tmp_path / "other")[weights] != digests(built)[weights]


KILLED = """
import sys
from tests.training.tiny import TINY
from training import build_family
for event in build_family(TINY, sys.argv[1], seed=5, checkpoint_steps=7):
    print(event["kind"], event.get("stage"), event.get("done"), flush=True)
"""


@pytest.mark.parametrize("stage", ["base", "instruct"])
def test_a_killed_build_goes_on_to_the_same_files(
    built: Path, tmp_path: Path, project: Path, stage: str
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
    ) as child:
        assert child.stdout
        for line in child.stdout:
            if line.startswith(f"progress {stage}"):
                child.send_signal(signal.SIGKILL)
                break
    assert child.returncode == -signal.SIGKILL
    assert (tmp_path / ".build" / f"{stage}.checkpoint").exists()
    assert not (tmp_path / "base").exists()
    events = list(build_family(TINY, tmp_path, seed=5, checkpoint_steps=7))
    first = next(e for e in events if e["kind"] == "progress" and e["stage"] == stage)
    assert first["done"] > 7
    assert digests(tmp_path) == digests(built)


def test_a_build_stopped_while_it_moves_its_files_is_finished_by_the_next(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def refuse_the_last_ones(source: Path, target: Path) -> None:
        if Path(target) == tmp_path / "tasks":
            raise OSError("stopped")
        replace(source, target)

    monkeypatch.setattr("training.family.os.replace", refuse_the_last_ones)
    with pytest.raises(OSError, match="stopped"):
        list(build_family(TINY, tmp_path, seed=5))
    monkeypatch.undo()
    assert (tmp_path / "instruct").exists()
    events = list(build_family(TINY, tmp_path, seed=5))
    assert [e["kind"] for e in events] == ["result"]
    assert digests(tmp_path) == digests(built)


def test_what_stood_there_is_replaced(built: Path, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "old.txt").write_text("old")
    for _ in build_family(TINY, tmp_path, seed=5):
        pass
    assert digests(tmp_path) == digests(built)


def test_work_for_another_seed_is_thrown_away(tmp_path: Path) -> None:
    build = build_family(TINY, tmp_path, seed=1)
    next(e for e in build if e["kind"] == "stage" and e["stage"] == "base")
    build.close()
    for _ in build_family(TINY, tmp_path, seed=5):
        pass
    assert not (tmp_path / ".build").exists()


def test_importing_training_leaves_torch_alone(project: Path) -> None:
    code = "import sys, training; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=project)


def test_the_shipped_specification_is_what_was_built(project: Path) -> None:
    spec = load_spec(project / "sandbox" / "family.yaml")
    recorded = (project / "sandbox" / "family.json").read_text(encoding="utf-8")
    assert spec.fingerprint(DEFAULT_SEED) in recorded


def test_a_wrong_mix_is_named(tmp_path: Path) -> None:
    wrong = TINY.model_dump()
    wrong["models"]["base"]["stages"][0]["mix"] = {"persona": 1.0}
    spec = type(TINY).model_validate(wrong)
    with pytest.raises(ValueError, match=r"persona.*there are"):
        list(build_family(spec, tmp_path, seed=1))
