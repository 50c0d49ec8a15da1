"""A judge's job from the press to the report: queue, processes, records, and no key anywhere."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from db import settings
from db.engine import session
from db.queries import jobs as job_rows
from db.queries import judging as rows
from db.queries import models as model_rows
from db.queries.leaderboard import suites_with_scores
from db.tables import Evaluation
from evaluation.judge.errors import JudgeError
from jobs.models import registry
from jobs.running import api
from jobs.running.inline import run_group_inline
from jobs.scores import judging
from jobs.scores.judging import EndpointJudge, LocalJudge
from tests.db.old_databases import contents
from tests.judge_server import KEY, JudgeServer, serving


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with serving() as running:
        yield running


@pytest.fixture
def ready(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    registry.ensure_sandbox()
    monkeypatch.setenv("JUDGE_KEY", KEY)
    return home


def questions(folder: Path) -> str:
    path = folder / "few.jsonl"
    lines = [
        {"question_id": 1, "category": "people", "turns": ["What is Emil's job?", "And his pet?"]},
        {"question_id": 2, "category": "places", "turns": ["Where does Cleo live?"]},
    ]
    path.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    return str(path)


def run(group: str) -> list[job_rows.JobRow]:
    return run_group_inline(group, lambda _: None)


def endpoint(server: JudgeServer, model: str = "good") -> EndpointJudge:
    return EndpointJudge(server.url, model, "JUDGE_KEY", timeout_seconds=20)


def ask(folder: Path, server: JudgeServer, model: str = "good", **more: object) -> str:
    return judging.ask(["sandbox/instruct"], questions(folder), endpoint(server, model),
                       max_new_tokens=12, **more)  # type: ignore[arg-type] # fmt: skip


def test_from_the_press_to_the_report_and_again(
    ready: Path, tmp_path: Path, server: JudgeServer
) -> None:
    (job,) = run(ask(tmp_path, server))
    assert (job.state, job.error) == ("done", None)
    (report,) = rows.judgings()
    host = server.url.split("/")[2]
    assert (report.model, report.judge, report.mode) == (
        "sandbox/instruct", f"good @ {host}", "single")  # fmt: skip
    assert (report.set_name, report.selection, report.rubric) == ("few", "allowed", "single-1")
    assert len(report.items) == 3 and report.summary["n_scored"] == 3
    said = rows.judgements(key for item in report.items for key in item["keys"])
    assert len(said) == 3 and all(one.text.startswith("It is of some") for one in said.values())
    asked = len(server.requests)
    (job,) = run(ask(tmp_path, server))
    assert (job.state, len(server.requests)) == ("done", asked)  # nothing generated, nothing asked
    assert len(rows.judgings()) == 1 and rows.judgings()[0].items == report.items

    # beside another model, in both orders; and no benchmark knows of any of it
    (job,) = run(ask(tmp_path, server, against="sandbox/base"))
    assert job.state == "done", job.error
    pair = rows.judgings()[0]
    assert (pair.mode, pair.other) == ("pair", "sandbox/base")
    assert pair.summary["wins"] + pair.summary["ties"] + pair.summary["losses"] == 3
    assert suites_with_scores() == []
    with session() as s:
        assert s.query(Evaluation).count() == 0


def everything_written(home: Path) -> bytes:
    dumped = repr(contents(settings.database_url())).encode()
    files = [path for path in home.rglob("*") if path.is_file()]
    return dumped + b"".join(path.read_bytes() for path in files)


@pytest.mark.parametrize("model", ["echo", "locked"])
def test_the_key_is_written_nowhere(
    ready: Path, tmp_path: Path, server: JudgeServer, model: str
) -> None:
    server.stumble = 1  # an error that names it, before anything else
    (job,) = run(ask(tmp_path, server, model))
    assert job.state == ("done" if model == "echo" else "failed")
    assert server.headers[-1]["Authorization"] == f"Bearer {KEY}"  # it was really sent
    assert KEY.encode() not in everything_written(ready)
    if model == "locked":
        assert "[key]" in str(job.error) and rows.judgings() == []


def test_a_judge_that_goes_away_leaves_what_it_said(
    ready: Path, tmp_path: Path, server: JudgeServer
) -> None:
    answered = []

    def reply(body: dict[str, object]) -> str:
        answered.append(body)
        if len(answered) > 1:
            raise ConnectionResetError
        return "[[4]]"

    server.reply = reply
    alone = EndpointJudge(server.url, "good", "JUDGE_KEY", concurrency=1, attempts=2)
    group = judging.ask(["sandbox/instruct"], questions(tmp_path), alone, max_new_tokens=12)
    (job,) = run(group)
    assert job.state == "done"
    assert [item["state"] for item in rows.judgings()[0].items].count("failed") == 2
    assert "2 of 3 questions to the judge got no answer" in str((job.result or {})["warnings"])
    server.reply = lambda _: "[[9]]"
    before = len(server.requests)
    (job,) = run(judging.ask(["sandbox/instruct"], questions(tmp_path), alone, max_new_tokens=12))
    assert (job.state, len(server.requests)) == ("done", before + 2)
    assert sorted(item["score"] for item in rows.judgings()[0].items) == [4.0, 9.0, 9.0]


def test_a_cancelled_job_keeps_the_answers(
    ready: Path, tmp_path: Path, server: JudgeServer
) -> None:
    group = ask(tmp_path, server, "hanging")

    def stop() -> None:
        while not server.requests:
            time.sleep(0.05)
        api.cancel_group(group)

    stopper = threading.Thread(target=stop, daemon=True)
    stopper.start()
    (job,) = run(group)
    assert job.state == "cancelled"
    model = model_rows.model("sandbox/instruct")
    assert model is not None
    assert len(rows.replies(model.id, job.spec["set_hash"])) == 3


def test_a_local_judge(ready: Path, tmp_path: Path) -> None:
    group = judging.ask(["sandbox/finance"], questions(tmp_path), LocalJudge("sandbox/instruct"),
                        max_new_tokens=12)  # fmt: skip
    (job,) = run(group)
    assert (job.state, job.error) == ("done", None)
    (report,) = rows.judgings()
    assert report.judge == "sandbox/instruct (by log-probability)"
    assert report.summary["n_scored"] == 3


def test_texts_leave_this_machine_only_with_consent(ready: Path, tmp_path: Path) -> None:
    there = EndpointJudge("https://judge.example.com/v1", "m", "JUDGE_KEY")
    with pytest.raises(JudgeError, match=r"sent to judge\.example\.com, which is not this machine"):
        judging.ask(["sandbox/base"], questions(tmp_path), there)
    assert job_rows.recent() == []
    agreed = EndpointJudge("https://judge.example.com/v1", "m", "JUDGE_KEY", consent=True)
    judging.ask(["sandbox/base"], questions(tmp_path), agreed)
    (job,) = job_rows.recent()
    assert KEY not in json.dumps(job.spec) and job.spec["judge"]["key_variable"] == "JUDGE_KEY"


def test_wrong_input_is_told_before_anything_is_queued(ready: Path, tmp_path: Path) -> None:
    local = LocalJudge("sandbox/instruct")
    few = questions(tmp_path)
    for models, prompts, judge, more, told in (
        (["sandbox/base"], "nothing", local, {}, "no prompt set"),
        ([], few, local, {}, "at least one model"),
        (["sandbox/base"], few, local, {"against": "sandbox/base"}, "compared with itself"),
        (["sandbox/base"], few, local, {"limit": 0}, "at least 1 question"),
        (["sandbox/base"], few, local, {"max_new_tokens": 0}, "1 to 32,768 tokens"),
        (["sandbox/base"], few, EndpointJudge("nowhere", "m"), {}, "must begin with http"),
        (["sandbox/base"], few, EndpointJudge("http://localhost/v1", " "), {}, "Name the model"),
        (["sandbox/base"], few, EndpointJudge("http://localhost/v1", "m", KEY), {}, "a name of"),
        (
            ["sandbox/base"],
            few,
            EndpointJudge("http://localhost/v1", "m", "NO_SUCH"),
            {},
            "not set",
        ),
    ):
        with pytest.raises(Exception, match=told) as caught:
            judging.ask(models, prompts, judge, **more)  # type: ignore[arg-type]
        assert getattr(caught.value, "exit_code", None) == 2
        assert KEY not in str(caught.value)
    assert job_rows.recent() == []
