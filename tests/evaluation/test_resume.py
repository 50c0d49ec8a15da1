"""Killed in the middle of a task: no finished answer is lost, and none is asked twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from evaluation.journal import Journal, TaskJournal, Written, forget
from tests.evaluation.conftest import run, scores, write_suite

PROJECT = Path(__file__).resolve().parents[2]
CHILD = """
import functools, json, os, signal, sys
from pathlib import Path
import evaluation.session as session
from evaluation.journal import Journal
from tests.evaluation.conftest import _sandbox_like, make_model, run

folder, task, die = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "die"
asked = (folder / f"asked-{'first' if die else 'second'}.jsonl").open("a")


class Watched(session.Scorer):
    def __init__(self, *given, **named):
        super().__init__(*given, **named, batch_tokens=96, slots=2)

    def _watch(self, stream, requests):
        for request in requests:
            print(json.dumps(request.args), file=asked, flush=True)
        return stream(requests)

    def stream_loglikelihood(self, requests):
        return self._watch(super().stream_loglikelihood, requests)

    def stream_loglikelihood_rolling(self, requests):
        return self._watch(super().stream_loglikelihood_rolling, requests)

    def stream_generate_until(self, requests):
        return self._watch(super().stream_generate_until, requests)


session.Scorer = Watched
tokenizer = _sandbox_like()
pair = make_model(tokenizer), tokenizer
seen = 0
from evaluation.run import evaluate
from evaluation.suites import load_suite
for event in evaluate(*pair, load_suite(folder / "tiny.yaml"), tasks=[task],
                      journal=Journal(folder / "replies", "this model")):
    if event["kind"] == "progress" and event["done"]:
        seen += 1
        if die and seen == 2:
            os.kill(os.getpid(), signal.SIGKILL)
    if event["kind"] == "score":
        (folder / "score.json").write_text(json.dumps(event))
"""


def child(folder: Path, task: str, how: str) -> int:
    process = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), task, how], cwd=PROJECT,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode in (0, -signal.SIGKILL), process.stderr[-2000:]
    return process.returncode


def asked(folder: Path, when: str) -> list[str]:
    return (folder / f"asked-{when}.jsonl").read_text().splitlines()


@pytest.mark.parametrize("task", ["pick", "free"])
def test_a_kill_in_the_middle_of_a_task_costs_nothing(
    sandbox_pair: Any, tmp_path: Path, task: str
) -> None:
    folder = write_suite(tmp_path)
    rows = [{"q": f"The cat {i} sat on the mat, they say {i * i}.", "t": str(i),
             "c": ["mat", "log", f"dog {i}"], "a": 0} for i in range(23)]  # fmt: skip
    rows.append(rows[4])  # the same question twice in one task: two answers
    for name in ("choices", "free"):
        (folder / "tasks" / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert child(folder, task, "die") == -signal.SIGKILL
    assert not (folder / "score.json").exists()
    (kept,) = (folder / "replies").glob("*.jsonl")
    finished = [line for line in kept.read_text().splitlines() if line]
    assert 0 < len(finished) < len(asked(folder, "first"))
    with kept.open("a") as file:
        file.write('\n["0123", [-1.0, fal')  # a write that the kill cut short
    assert child(folder, task, "go on") == 0
    again = asked(folder, "second")
    assert len(again) == len(asked(folder, "first")) - len(finished)
    first = asked(folder, "first")
    for line in set(first):
        assert again.count(line) <= first.count(line)
    score = json.loads((folder / "score.json").read_text())
    whole = scores(run(sandbox_pair, folder, tasks=[task]))[task]
    assert (score["n"], score["prompts_hash"]) == (24, whole["prompts_hash"])
    assert score["value"] == pytest.approx(whole["value"], abs=1e-5)
    for one, other in zip(score["answers"], whole["answers"], strict=True):
        assert (one["doc_id"], one["output"], one["extracted"], one["stopped"]) == (
            other["doc_id"], other["output"], other["extracted"], other["stopped"])  # fmt: skip
    assert score["journal"] == str(kept)
    forget(kept)
    if task == "free":
        return
    assert child(folder, task, "go on") == 0  # recorded and forgotten: asked anew
    assert len(asked(folder, "second")) == len(again) + len(asked(folder, "first"))


class Asked:
    def __init__(self, *args: Any) -> None:
        self.args = args


def test_replies_come_back_as_they_were(tmp_path: Path) -> None:
    place = Journal(tmp_path / "replies", "m").of("c")
    reply = Written("日本\n\ud83d text", "length", ("<|x|>",))
    place.add("generate_until", Asked("p", {"until": ["\n"]}), reply)
    place.add("loglikelihood", Asked("p", " a"), (-1.2345678901234567e-5, True))
    place.add("loglikelihood_rolling", Asked("p"), float("-inf"))
    place.flush()
    place.flush()
    again = Journal(tmp_path / "replies", "m").of("c")
    assert again.take("generate_until", Asked("p", {"until": ["\n"]})) == reply
    assert again.take("generate_until", Asked("p", {"until": ["\n"]})) is None  # each once
    assert again.take("loglikelihood", Asked("p", " b")) is None
    assert again.take("loglikelihood", Asked("p", " a")) == (-1.2345678901234567e-5, True)
    assert again.take("loglikelihood_rolling", Asked("p")) == float("-inf")


def test_other_models_and_settings_have_other_files(tmp_path: Path) -> None:
    paths = {Journal(tmp_path, model).of(config).path for model in "ab" for config in "cd"}
    assert len(paths) == 4


def test_a_folder_that_cannot_be_written_costs_only_the_keeping(
    sandbox_pair: Any, suite_folder: Path
) -> None:
    (suite_folder / "file").write_text("")
    events = run(sandbox_pair, suite_folder, journal=Journal(suite_folder / "file" / "x", "m"))
    assert set(scores(events)) == {"pick", "free", "word", "rolling"}
    told = [event["text"] for event in events if event["kind"] == "warning"]
    assert any("Replies cannot be kept in" in text for text in told)


def test_old_replies_are_forgotten(tmp_path: Path) -> None:
    for name, age_days in (("old", 40), ("new", 2)):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("")
        os.utime(path, (time.time() - age_days * 86_400,) * 2)
    Journal(tmp_path, "m")
    assert [path.name for path in tmp_path.iterdir()] == ["new.jsonl"]
    assert TaskJournal(tmp_path / "absent.jsonl").take("loglikelihood", Asked("p")) is None
