"""What events become in the database: whole scores, shared prompts, and nothing from a zombie."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from db.engine import session, transaction
from db.tables import Answer, Evaluation, Model, Prompt
from jobs.running import identity, queue
from jobs.running.queue import Claim, Fenced
from jobs.running.record import Recorder
from tests.jobs.conftest import row, submit


@pytest.fixture
def held(home: Path) -> Claim:
    with transaction() as opened:
        opened.add(Model(id=1, name="m", source="/m", role="base"))
    submit(suite_name="suite")
    found = queue.claim(identity.worker_id(), "cpu")
    assert found is not None
    return found


def score(task: str = "t", value: float = 0.5, n: int = 3) -> dict[str, Any]:
    answers = [
        {"doc_id": i, "doc_hash": f"d{i}", "prompt": f"Question {i}?", "prompt_hash": f"p{i}",
         "target": "yes", "output": "no", "extracted": None, "score": 0.0, "correct": False,
         "choices": [{"text": "yes", "loglikelihood": -1.5}], "stopped": "eos"}
        for i in range(n)
    ]  # fmt: skip
    return {
        "kind": "score", "task": task, "domain": "d", "task_version": "1", "metric": "acc",
        "value": value, "stderr": 0.1, "n": n, "config": {"limit": None}, "config_hash": "c",
        "prompts_hash": "p", "higher_is_better": True, "seconds": 1.0, "answers": answers,
    }  # fmt: skip


MODEL = {"kind": "model", "model_id": 1, "fingerprint": "f" * 64, "signature": "s" * 64}


def count(table: type) -> int:
    with session() as opened:
        return opened.scalar(select(func.count()).select_from(table)) or 0


def test_a_score_comes_with_all_its_answers(held: Claim) -> None:
    recorder = Recorder(held)
    recorder.handle(MODEL)
    recorder.handle(score("a"))
    recorder.handle(score("b"))
    assert (count(Evaluation), count(Answer), count(Prompt)) == (2, 6, 3)
    with session() as opened:
        found = opened.scalars(select(Evaluation).where(Evaluation.task == "a")).one()
        assert (found.model_fingerprint, found.suite, found.job_id) == ("f" * 64, "suite", 1)
        answer = opened.get_one(Answer, (found.id, 0))
        assert answer.choices == [{"text": "yes", "loglikelihood": -1.5}]
        assert opened.get_one(Model, 1).signature == "s" * 64


def test_a_score_made_again_takes_the_place_of_the_first(held: Claim) -> None:
    recorder = Recorder(held)
    recorder.handle(MODEL)
    recorder.handle(score(value=0.1))
    recorder.handle(score(value=0.9))
    with session() as opened:
        assert opened.scalars(select(Evaluation.value)).all() == [0.9]
    assert count(Answer) == 3


def test_a_score_is_written_wholly_or_not_at_all(held: Claim) -> None:
    recorder = Recorder(held)
    recorder.handle(MODEL)
    broken = score()
    del broken["answers"][2]["target"]
    with pytest.raises(KeyError):
        recorder.handle(broken)
    assert (count(Evaluation), count(Answer), count(Prompt)) == (0, 0, 0)


def test_a_zombies_score_is_refused(held: Claim) -> None:
    recorder = Recorder(held)
    recorder.handle(MODEL)
    queue.died(held, "killed")
    with pytest.raises(Fenced):
        recorder.handle(score())
    with pytest.raises(Fenced):
        recorder.handle(MODEL)
    assert (count(Evaluation), count(Prompt)) == (0, 0)


def test_many_answers_at_once(held: Claim) -> None:
    recorder = Recorder(held)
    recorder.handle(MODEL)
    recorder.handle(score(n=3000))
    recorder.handle(score("again", n=3000))
    assert (count(Answer), count(Prompt)) == (6000, 3000)


def test_progress_is_written_a_few_times_a_second_at_most(
    held: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = []
    real = queue.write
    monkeypatch.setattr(queue, "write", lambda *a, **k: (writes.append(k), real(*a, **k)))
    recorder = Recorder(held)
    began = time.monotonic()
    for done in range(1, 201):
        recorder.handle({"kind": "progress", "stage": "Work", "done": done, "total": 200})
        time.sleep(0.004)
    seconds = time.monotonic() - began
    assert 1 <= len(writes) <= 4 * seconds + 1
    recorder.flush(force=True)
    found = row(held.job_id)
    assert (found.done, found.total, found.stage) == (200, 200, "Work")
    assert found.rate == pytest.approx(200 / seconds, rel=0.2)


def test_one_count_goes_on_over_stages_of_one_kind(held: Claim) -> None:
    recorder = Recorder(held)
    recorder.handle({"kind": "stage", "stage": "Scoring a"})
    recorder.handle({"kind": "progress", "stage": "Scoring a", "done": 50, "total": 100})
    recorder.handle({"kind": "stage", "stage": "Scoring b"})
    recorder.flush(force=True)
    assert (row(held.job_id).stage, row(held.job_id).done) == ("Scoring b", 50)
    recorder.handle({"kind": "stage", "stage": "Writing"})
    assert (row(held.job_id).stage, row(held.job_id).done) == ("Writing", 0)
