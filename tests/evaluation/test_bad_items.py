"""One bad item is named and left out; the others are asked, in the same words as without it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.conftest import FREE, of_kind, run, scores

GOOD = [{"q": f"The cat {i} sat on the", "c": ["mat", "log", f"dog {i}"], "a": i % 3}
        for i in range(8)]  # fmt: skip
BAD = {
    "no text": ({"c": ["a", "b"], "a": 0}, "its field 'q' is missing or empty"),
    "null text": ({"q": None, "c": ["a", "b"], "a": 0}, "its field 'q' is missing or empty"),
    "no choices": ({"q": "x", "a": 0}, "its choices are missing and no list"),
    "one choice": ({"q": "x", "c": ["a"], "a": 0},
                   "a multiple-choice item needs at least two choices and this one has 1"),
    "empty choices": ({"q": "x", "c": [], "a": 0},
                      "a multiple-choice item needs at least two choices and this one has 0"),
    "empty choice": ({"q": "x", "c": ["a", ""], "a": 0}, "one of its choices is empty"),
    "no target": ({"q": "x", "c": ["a", "b"]}, "it has no target"),
    "target too high": ({"q": "x", "c": ["a", "b"], "a": 2},
                        "its target is 2 and its choices are 0 to 1"),
    "target below": ({"q": "x", "c": ["a", "b"], "a": -1},
                     "its target is -1 and its choices are 0 to 1"),
}  # fmt: skip


def write(folder: Path, rows: list[Any], name: str = "choices.jsonl") -> None:
    (folder / "tasks" / name).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def pick(pair: Any, folder: Path, **more: Any) -> tuple[dict[str, Any], list[str]]:
    events = run(pair, folder, tasks=["pick"], **more)
    assert of_kind(events, "task_error") == []
    return scores(events)["pick"], [event["text"] for event in of_kind(events, "warning")]


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("place", [0, 4])
def test_a_bad_item_is_named_and_the_rest_is_scored(
    sandbox_pair: Any, suite_folder: Path, kind: str, place: int
) -> None:
    item, said = BAD[kind]
    rows = [*GOOD[:place], item, *GOOD[place:]]
    write(suite_folder, GOOD)
    whole, _ = pick(sandbox_pair, suite_folder)
    write(suite_folder, rows)
    score, warnings = pick(sandbox_pair, suite_folder)
    assert warnings == [f"pick: 1 of 9 items could not be asked: item {place} ({said})."]
    assert score["left_out"] == [{"doc_id": place, "text": said}]
    assert (score["n"], score["value"], score["stderr"]) == (
        whole["n"], whole["value"], whole["stderr"])  # fmt: skip
    assert [a["doc_id"] for a in score["answers"]] == [i for i in range(9) if i != place]
    for one, other in zip(score["answers"], whole["answers"], strict=True):
        assert one["prompt_hash"] == other["prompt_hash"]
        assert one["choices"] == other["choices"]
    assert score["prompts_hash"] == whole["prompts_hash"]


def test_many_are_counted_and_the_first_three_named(sandbox_pair: Any, suite_folder: Path) -> None:
    bad = [item for item, _ in BAD.values()]
    write(suite_folder, [bad[3], *GOOD, *bad])
    score, (warning,) = pick(sandbox_pair, suite_folder)
    assert warning.startswith("pick: 10 of 18 items could not be asked: item 0 (a multiple-choice")
    assert warning.endswith("(its field 'q' is missing or empty), and 7 more.")
    assert (score["n"], len(score["left_out"])) == (8, 10)


def test_items_of_one_fault_share_its_words(sandbox_pair: Any, suite_folder: Path) -> None:
    write(suite_folder, [*GOOD, *5 * [BAD["one choice"][0]]])
    _, (warning,) = pick(sandbox_pair, suite_folder)
    assert warning == (
        "pick: 5 of 13 items could not be asked: items 8, 9, 10 and 2 more (a multiple-choice item "
        "needs at least two choices and this one has 1)."
    )


def test_a_task_of_bad_items_fails_in_one_sentence(sandbox_pair: Any, suite_folder: Path) -> None:
    write(suite_folder, 4 * [BAD["target too high"][0]])
    events = run(sandbox_pair, suite_folder)
    (error,) = of_kind(events, "task_error")
    assert error["text"] == (
        "Task pick: 4 of 4 items could not be asked: items 0, 1, 2 and 1 more (its target is 2 and "
        "its choices are 0 to 1)."
    )
    assert set(scores(events)) == {"free", "word", "rolling"}
    assert not [e for e in of_kind(events, "warning") if "could not" in e["text"]]


def test_a_bad_item_counts_as_one_of_the_limit(sandbox_pair: Any, suite_folder: Path) -> None:
    write(suite_folder, [GOOD[0], BAD["one choice"][0], *GOOD[1:]])
    score, warnings = pick(sandbox_pair, suite_folder, limit=4)
    assert [a["doc_id"] for a in score["answers"]] == [0, 2, 3]
    assert warnings[0].startswith("pick: 1 of 4 items")


def test_progress_ends_with_every_item_counted(sandbox_pair: Any, suite_folder: Path) -> None:
    write(suite_folder, [GOOD[0], BAD["one choice"][0], *GOOD[1:]])
    events = run(sandbox_pair, suite_folder)
    last = of_kind(events, "progress")[-1]
    assert last["done"] == last["total"] == 9 + 3 * len(FREE)


def test_an_optional_field_is_not_missed(sandbox_pair: Any, suite_folder: Path) -> None:
    """A template that provides for an empty field prints nothing: so its author meant it."""
    file = suite_folder / "tasks" / "pick.yaml"
    file.write_text(file.read_text().replace("'{{q}}'", "\"{{hint or ''}}{{q}}\""))
    write(suite_folder, [{**GOOD[0], "hint": "They say: "}, *GOOD[1:]])
    score, warnings = pick(sandbox_pair, suite_folder)
    assert (score["n"], score["left_out"], warnings) == (8, [], [])
    prompts = [answer["prompt"] for answer in score["answers"]]
    assert prompts[0].startswith("They say: ") and prompts[1] == GOOD[1]["q"]


def test_an_item_whose_grading_fails_is_left_out(sandbox_pair: Any, suite_folder: Path) -> None:
    tasks = suite_folder / "tasks"
    (tasks / "grading.py").write_text(
        "def grade(doc, results):\n    return {'exact_match': 1 / (len(doc['t']) - 3)}\n"
    )
    file = tasks / "free.yaml"
    file.write_text(file.read_text() + "process_results: !function grading.grade\n")
    events = run(sandbox_pair, suite_folder, tasks=["free"])
    assert of_kind(events, "task_error") == []
    score = scores(events)["free"]  # the target of item 2 is "sat"
    assert score["left_out"] == [{"doc_id": 2, "text": "ZeroDivisionError: division by zero"}]
    assert score["n"] == 2 and score["value"] == pytest.approx((1 / 3 + 1 / -1) / 2)
    texts = [event["text"] for event in of_kind(events, "warning")]
    assert ("free: 1 of 3 items could not be graded: item 2 (ZeroDivisionError: division by zero)."
            in texts)  # fmt: skip
    (tasks / "grading.py").write_text("def grade(doc, results):\n    raise KeyError('answer')\n")
    (error,) = of_kind(run(sandbox_pair, suite_folder, tasks=["free"]), "task_error")
    assert error["text"] == ("Task free: 3 of 3 items could not be graded: items 0, 1, 2 (its "
                             "field 'answer' is missing).")  # fmt: skip


def test_a_conversation_that_a_template_refuses_is_that_items_problem(
    sandbox_pair: Any, suite_folder: Path
) -> None:
    (suite_folder / "chat.jinja").write_text(
        "{% for m in messages %}{% if 'cat' in m['content'] %}{{ raise_exception('no cats') }}"
        "{% endif %}{{ m['content'] }}{% endfor %}"
    )
    suite = suite_folder / "tiny.yaml"
    suite.write_text(suite.read_text() + "task_settings: {free: {apply_chat_template: true}}\n")
    tokenizer = sandbox_pair[1]
    own, tokenizer.chat_template = tokenizer.chat_template, None
    try:
        events = run(sandbox_pair, suite_folder, tasks=["free"])
    finally:
        tokenizer.chat_template = own
    score = scores(events)["free"]
    assert score["n"] == 2 and score["left_out"] == [
        {"doc_id": 2, "text": "the chat template cannot render this conversation (no cats)"}
    ]
