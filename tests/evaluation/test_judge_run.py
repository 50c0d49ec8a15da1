"""The engine of judging: cache, both orders, failures that are no scores, sets, a local judge."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluation.judge.asking import Judge
from evaluation.judge.endpoint import Endpoint, EndpointOptions
from evaluation.judge.errors import JudgeError, JudgeFailure
from evaluation.judge.local import LocalJudge
from evaluation.judge.replies import generate
from evaluation.judge.run import judge_pair, judge_single
from evaluation.judge.sets import Question, list_sets, load_set, require_selection_allowed
from evaluation.scoring.loading import load_model
from tests.judge_server import KEY, JudgeServer, serving

PROJECT = Path(__file__).resolve().parents[2]
QUESTIONS = (Question("1", "x", ("Who?", "Why?")), Question("2", "y", ("Where?",)))
OURS = {("1", 0): "abc", ("1", 1): "abcdef", ("2", 0): "ab"}
THEIRS = {("1", 0): "abcd", ("1", 1): "a", ("2", 0): "cd"}


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    with serving() as running:
        yield running


def judge(server: JudgeServer, model: str = "good", **options: Any) -> Judge:
    given = {"timeout_seconds": 5.0, "attempts": 2, "backoff_seconds": 0.01, **options}
    concurrency = given.pop("concurrency", 3)
    endpoint = Endpoint(EndpointOptions(server.url, model, **given), KEY)
    return Judge("the judge", {"url": "here"}, endpoint, concurrency)


def run(events: Iterator[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """The report, the judgements by key, and the warnings."""
    told = list(events)
    json.dumps(told)
    assert KEY not in str(told)
    said = {one["key"]: one for one in told if one["kind"] == "judgement"}
    return told[-1], said, [one["text"] for one in told if one["kind"] == "warning"]


def test_every_turn_is_graded_and_nothing_asked_twice(server: JudgeServer) -> None:
    report, said, _ = run(judge_single(judge(server), QUESTIONS, OURS, {}))
    assert [item["score"] for item in report["items"]] == [3.0, 6.0, 2.0]
    assert report["summary"]["mean"] == 11 / 3
    assert len(server.requests) == len(said) == 3
    again, new, _ = run(judge_single(judge(server), QUESTIONS, OURS, said))
    assert (again, new, len(server.requests)) == (report, {}, 3)
    changed, new, _ = run(judge_single(judge(server), QUESTIONS, {**OURS, ("2", 0): "abcde"}, said))
    assert [item["score"] for item in changed["items"]] == [3.0, 6.0, 5.0]
    assert len(server.requests) == 4 and len(new) == 1


def test_pairs_are_asked_in_both_orders(server: JudgeServer) -> None:
    report, _, _ = run(judge_pair(judge(server), QUESTIONS, OURS, THEIRS, {}))
    assert [item["outcome"] for item in report["items"]] == ["loss", "win", "tie"]
    assert [item["flipped"] for item in report["items"]] == [False, False, False]
    assert len(server.requests) == 6
    assert report["summary"]["length"]["agreement"] == 1.0
    server.reply = lambda _: "The first. [[A]]"
    report, _, _ = run(judge_pair(judge(server), QUESTIONS, OURS, THEIRS, {}))
    assert [item["outcome"] for item in report["items"]] == ["tie"] * 3
    assert (report["summary"]["flip_rate"], report["summary"]["first_rate"]) == (1.0, 1.0)


def test_empty_and_equal_answers_need_no_judge(server: JudgeServer) -> None:
    report, _, _ = run(judge_single(judge(server), QUESTIONS, {**OURS, ("2", 0): " \n"}, {}))
    assert (report["items"][2]["state"], report["items"][2]["score"]) == ("empty", 1.0)
    ours = {**THEIRS, ("2", 0): ""}
    report, _, _ = run(judge_pair(judge(server), QUESTIONS, ours, THEIRS, {}))
    assert [item["outcome"] for item in report["items"]] == ["tie", "tie", "loss"]
    assert [item["state"] for item in report["items"]] == ["same", "same", "empty"]
    assert len(server.requests) == 2


def test_what_cannot_be_read_is_no_score_and_is_asked_again(server: JudgeServer) -> None:
    server.reply = lambda _: "A fine answer."
    report, said, _ = run(judge_single(judge(server), QUESTIONS, OURS, {}))
    assert [item["state"] for item in report["items"]] == ["unparsed"] * 3
    assert report["summary"]["mean"] is None
    assert {one["text"] for one in said.values()} == {"A fine answer."}
    server.reply = lambda _: "[[5]]"
    report, _, _ = run(judge_single(judge(server), QUESTIONS, OURS, said))
    assert report["summary"]["mean"] == 5.0


def test_a_question_that_gets_no_answer_costs_only_itself(server: JudgeServer) -> None:
    def reply(body: dict[str, Any]) -> str:
        if "Where?" in str(body):
            raise ConnectionResetError
        return "[[7]]"

    server.reply = reply
    report, said, warnings = run(judge_single(judge(server), QUESTIONS, OURS, {}))
    assert [item["state"] for item in report["items"]] == ["ok", "ok", "failed"]
    assert report["items"][2]["score"] is None and report["summary"]["mean"] == 7.0
    assert "1 of 3 questions to the judge got no answer" in warnings[0]
    server.reply = lambda _: "[[7]]"
    before = len(server.requests)
    report, _, _ = run(judge_single(judge(server), QUESTIONS, OURS, said))
    assert len(server.requests) == before + 1 and report["summary"]["n_scored"] == 3


def test_a_judge_that_is_gone_ends_the_run(server: JudgeServer) -> None:
    many = tuple(Question(str(i), "x", (f"Number {i}?",)) for i in range(40))
    replies = {(q.id, 0): "abc" for q in many}
    for model in ("malformed", "locked"):
        with pytest.raises(JudgeFailure):
            run(judge_single(judge(server, model, concurrency=2), many, replies, {}))
    assert len(server.requests) < 40


def test_closing_the_run_stops_the_judge(server: JudgeServer) -> None:
    many = tuple(Question(str(i), "x", (f"Number {i}?",)) for i in range(40))
    replies = {(q.id, 0): "abc" for q in many}
    events = judge_single(judge(server, "slow"), many, replies, {})
    said = {}
    for event in events:
        if event["kind"] == "judgement":
            said[event["key"]] = event
        if len(said) == 4:
            break
    events.close()  # type: ignore[attr-defined]
    asked = len(server.requests)
    assert asked <= 12 and server.most_at_once <= 3
    # taken up again: what was answered is not asked again
    report, new, _ = run(judge_single(judge(server), many, replies, said))
    assert report["summary"]["n_scored"] == 40
    assert len(new) == 36


def test_the_sets_that_ship() -> None:
    listed = {one.name: one for one in list_sets()}
    assert {"open-small", "mt-bench", "pfmt-bench-fin-ja"} <= set(listed)
    own = load_set("open-small")
    assert listed["open-small"].ready and own.selection == "allowed"
    assert len(own.questions) == 24 and all(len(q.turns) == 2 for q in own.questions)
    assert own.categories == ("finance", "math", "japanese", "general")
    assert len(own.first(1)) == 4
    require_selection_allowed("open-small")


def test_a_set_for_reporting_only_is_known_under_any_name(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match="for reporting only"):
        require_selection_allowed("pfmt-bench-fin-ja")
    path = tmp_path / "innocent" / "question.jsonl"
    path.parent.mkdir()
    lines = [
        {"question_id": i, "category": name, "turns": ["一", "二"]}
        for i, name in enumerate(["math", "idea", "translation", "ethics", "trustworthiness"])
    ]
    path.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    assert load_set(path).selection == "forbidden"
    with pytest.raises(JudgeError, match="for reporting only"):
        require_selection_allowed(path)
    part = tmp_path / "pfmt_bench_fin_ja" / "part.jsonl"
    part.parent.mkdir()
    part.write_text(json.dumps(lines[0]), "utf-8")
    assert load_set(part).selection == "forbidden"


def test_the_published_layout_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "pfmt-bench-fin-ja"
    (folder / "reference_answer").mkdir(parents=True)
    row = {"question_id": 150, "category": "math", "turns": ["一たす一は？", "二たす二は？"]}
    (folder / "question.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", "utf-8")
    right = {"question_id": 150, "choices": [{"index": 0, "turns": ["2", "4"]}]}
    (folder / "reference_answer" / "gpt-4o+human.jsonl").write_text(json.dumps(right), "utf-8")
    monkeypatch.setenv("CRUCIBLE_DATA_DIR", str(tmp_path))
    found = load_set("pfmt-bench-fin-ja")
    assert found.questions[0].references == ("2", "4")
    assert found.selection == "forbidden" and "model merging" in found.forbidden


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no questions"),
        ("{}", "line 1 has no question_id"),
        ('{"question_id": 1}', "line 1 has no turns"),
        ('{"question_id": 1, "turns": []}', "line 1 has no turns"),
        ('{"question_id": 1, "turns": ["a", ""]}', "line 1 has a turn that is empty"),
        ('{"question_id": 1, "turns": "a"}', "line 1 has no turns"),
        ('{"question_id": 1, "turns": ["a"]}\n{"question_id": "1", "turns": ["b"]}', "repeats"),
        ("[1]", "line 1 is not a JSON object"),
        ("\n{broken", "line 2 is not JSON"),
    ],
)
def test_malformed_questions(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(text, "utf-8")
    with pytest.raises(JudgeError, match=told):
        load_set(path)


def test_sets_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRUCIBLE_DATA_DIR", str(tmp_path))
    with pytest.raises(JudgeError, match="There is no prompt set 'nonsense'"):
        load_set("nonsense")
    with pytest.raises(JudgeError, match="published at https://github.com/lm-sys/FastChat"):
        load_set("mt-bench")
    with pytest.raises(JudgeError, match="at least 1 question"):
        load_set("open-small").first(0)


def test_a_local_model_answers_and_judges() -> None:
    model, tokenizer = load_model(PROJECT / "sandbox" / "instruct", device="cpu")
    questions = (Question("1", "x", ("What is Emil's job?", "And Emil's pet?")),)
    events = list(generate(model, tokenizer, questions, max_new_tokens=12))
    replies = {(e["question_id"], e["turn"]): e["text"] for e in events if e["kind"] == "reply"}
    assert set(replies) == {("1", 0), ("1", 1)} and replies["1", 0]
    # known replies are not generated again, and later turns follow them
    known = {("1", 0): "A baker."}
    rest = [e for e in generate(model, tokenizer, questions, known=known, max_new_tokens=12)
            if e["kind"] == "reply"]  # fmt: skip
    assert [(e["question_id"], e["turn"]) for e in rest] == [("1", 1)]

    local = Judge("tiny", {"kind": "local"}, LocalJudge(model, tokenizer))
    report, said, _ = run(judge_single(local, questions, replies, {}))
    assert all(1 <= item["score"] <= 10 for item in report["items"])
    assert all(one["rubric"] == "single-short-1" for one in said.values())
    again, new, _ = run(judge_single(local, questions, replies, said))
    assert again["summary"] == report["summary"] and not new
    other = {place: text + " Or so." for place, text in replies.items()}
    there, _, _ = run(judge_pair(local, questions, replies, other, {}))
    back, _, _ = run(judge_pair(local, questions, other, replies, {}))
    swap = {"win": "loss", "loss": "win", "tie": "tie"}
    assert [item["outcome"] for item in back["items"]] == [
        swap[item["outcome"]] for item in there["items"]
    ]


def test_what_does_not_fit_the_local_judge_is_not_judged() -> None:
    model, tokenizer = load_model(PROJECT / "sandbox" / "instruct", device="cpu")
    local = Judge("tiny", {"kind": "local"}, LocalJudge(model, tokenizer))
    questions = (Question("1", "x", ("Who?",)), Question("2", "x", ("Who? " * 900,)))
    replies = {("1", 0): "Emil", ("2", 0): "Emil"}
    report, _, _ = run(judge_single(local, questions, replies, {}))
    assert [item["state"] for item in report["items"]] == ["ok", "too long"]
    assert report["items"][1]["score"] is None and report["summary"]["n_scored"] == 1
