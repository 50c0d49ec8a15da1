"""Thoughts are no answers: what is stripped, and what an endless thought is worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.scoring.thinking import answer_start, opened_by, strip


@pytest.mark.parametrize(
    ("reply", "opened", "answer", "whole"),
    [
        ("42", False, "42", True),
        ("  42\n", False, "  42\n", True),
        ("<think>6 x 7\n\nis 42</think>\n\nThe answer is 42.", False, "The answer is 42.", True),
        ("<THINKING>a</THINKING>b", False, "b", True),
        ("<think>a</think>b<think>c</think>d", False, "bd", True),
        ("is it 41? no</think>42", True, "42", True),
        ("is it 41? no</think>42", False, "42", True),
        ("is it 41", True, "", False),
        ("<think>is it 41", False, "", False),
        ("\n <think>is it 41", False, "\n ", False),
        ("42 <think>or not", False, "42 ", True),
        ("<|begin_of_thought|>x<|end_of_thought|> 7", False, "7", True),
        ("a < b and <thing>", False, "a < b and <thing>", True),
        ("", False, "", True),
        ("<think></think>", False, "", True),
    ],
)
def test_what_is_left(reply: str, opened: bool, answer: str, whole: bool) -> None:
    assert strip(reply, opened=opened) == (answer, whole)


def test_a_prompt_that_opens_a_thought() -> None:
    assert opened_by("<|user|>2+2?<|assistant|><think>\n")
    assert not opened_by("What does <think> mean?")
    assert not opened_by("<think>\n\n</think>\n\n")
    assert not opened_by("")


def test_stop_strings_count_from_the_answer_on() -> None:
    assert answer_start("plain") == 0
    assert answer_start("<think>a\n\nb") is None
    assert answer_start("a\n\nb", opened=True) is None
    text = "<think>a\n\nb</think>c"
    assert answer_start(text) == text.index("c")
    assert answer_start("x</think>y", opened=True) == len("x</think>")


REPLIES = {
    "right": "<think>41?\n\nno</think>The answer is 42.",
    "wrong": "<think>42</think>The answer is 41.",
    "endless": "<think>is it 42 or 41, I wonder",
}


def score(tmp_path: Path, pair: Any, monkeypatch: pytest.MonkeyPatch, ref: str = "") -> Any:
    """A suite of three questions, answered as ``REPLIES`` has it by a scorer that only recites."""
    from evaluation.run import evaluate
    from evaluation.scoring.generation import Generated
    from evaluation.scoring.scorer import Scorer
    from evaluation.suites import load_suite

    rows = [{"question": name, "target": "42"} for name in REPLIES]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    body = (
        "task: NAME\ndataset_path: json\ndataset_kwargs: {data_files: {test: data.jsonl}}\n"
        "test_split: test\noutput_type: generate_until\ndoc_to_text: question\n"
        "doc_to_target: target\ngeneration_kwargs: {until: ['X'], max_gen_toks: 8}\n"
    )
    ours = "process_results: !function evaluation.extraction.grade.exact_number\nmetric_list:\n"
    ours += "  - {metric: acc, aggregation: mean}\n  - {metric: truncated, aggregation: mean}\n"
    theirs = "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n"
    theirs += "filter_list:\n  - {name: number, filter: [{function: regex, regex_pattern: "
    theirs += "'([0-9]+)'}, {function: take_first}]}\n"
    (tmp_path / "ours.yaml").write_text(body.replace("NAME", "ours") + ours)
    (tmp_path / "theirs.yaml").write_text(body.replace("NAME", "theirs") + theirs)
    (tmp_path / "s.yaml").write_text("include: .\ntasks: [ours, theirs]\n")

    def recite(self: Any, requests: Any) -> Any:
        for i, request in enumerate(requests):
            text = REPLIES[request.args[0]]
            yield [(i, Generated(i, text, "eos"))]

    monkeypatch.setattr(Scorer, "stream_generate_until", recite)
    events = evaluate(*pair, load_suite(f"{tmp_path / 's.yaml'}{ref}"))
    return {event["task"]: event for event in events if event["kind"] == "score"}


def test_thoughts_are_kept_and_not_graded(
    tmp_path: Path, sandbox_pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = score(tmp_path, sandbox_pair, monkeypatch)
    for task in found.values():
        assert [answer["score"] for answer in task["answers"]] == [1, 0, 0]
        assert [answer["output"] for answer in task["answers"]] == list(REPLIES.values())
        assert task["metrics"]["truncated"]["value"] == pytest.approx(1 / 3)
        assert task["answers"][2]["extracted"] == "(cut off before an answer)"
    assert found["theirs"]["answers"][0]["extracted"] == "42"


def test_with_the_setting_off_thoughts_are_the_reply(
    tmp_path: Path, sandbox_pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = score(tmp_path, sandbox_pair, monkeypatch, "@strip_thinking=false")["theirs"]
    assert [answer["score"] for answer in found["answers"]] == [0, 1, 1]  # the first figure said
    assert "truncated" not in found["metrics"]


def test_a_stop_string_ends_an_answer_but_no_thought(sandbox_pair: Any) -> None:
    from evaluation.scoring.stops import StopStrings

    tokenizer = sandbox_pair[1]
    stops = StopStrings(tokenizer)

    def tokens(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    inside = tokens("<think>a the\n\n")
    assert stops.found(inside, ("\n\n",)) and not stops.found(inside, ("\n\n",), False)
    assert stops.cut(inside, ("\n\n",), False).endswith("\n\n")
    after = tokens("<think>a the\n\nb</think> mat\n\n")
    assert stops.found(after, ("\n\n",), False)
    assert stops.cut(after, ("\n\n",), False).strip() == "<think>a the\n\nb</think> mat"
    assert not stops.found(tokens("a the\n\n"), ("\n\n",), True)  # the prompt opened the thought
