"""The shipped suite on a shipped model: every task is asked, with the harness's answers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from evaluation.run import evaluate, load_model
from evaluation.suites import load_suite

ITEMS = 2


@pytest.fixture(scope="module")
def finance(project: Path) -> Any:
    return load_model(project / "sandbox" / "finance", device="cpu")


def test_every_task_gives_the_harnesss_answers(
    finance: Any, hflm: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    model, tokenizer = finance
    suite = load_suite("sandbox")
    events = list(evaluate(model, tokenizer, suite, limit=ITEMS))
    assert events[-1]["errors"] == {}
    ours = {event["task"]: event for event in events if event["kind"] == "score"}
    assert list(ours) == list(suite.tasks)

    monkeypatch.chdir(project / "sandbox" / "tasks")  # the harness takes file names from there
    tokenizer = copy.deepcopy(tokenizer)
    template = project / "sandbox" / "chat_template.jinja"
    tokenizer.chat_template = tokenizer.chat_template or template.read_text()
    reference = hflm(model, tokenizer, batch_size=1, add_bos_token=True)
    manager = TaskManager(include_path=".", include_defaults=False)
    for chat in (False, True):
        theirs = simple_evaluate(
            model=reference,
            tasks=[t for t in ours if bool(suite.settings_for(t).apply_chat_template) == chat],
            task_manager=manager,
            limit=ITEMS,
            bootstrap_iters=0,
            apply_chat_template=chat,
        )
        for task, samples in theirs["samples"].items():
            answers = {answer["doc_id"]: answer for answer in ours[task]["answers"]}
            for sample in samples:
                compare(answers[sample["doc_id"]], sample, ours[task]["metric"])


def compare(answer: dict[str, Any], sample: dict[str, Any], metric: str) -> None:
    assert answer["score"] == sample[metric]
    assert answer["doc_hash"] == sample["doc_hash"]
    if answer["choices"] is None:
        assert answer["output"] == sample["resps"][0][0]
        assert answer["extracted"] == sample["filtered_resps"][0]
        return
    for choice, (reply,) in zip(answer["choices"], sample["resps"], strict=True):
        assert choice["loglikelihood"] == pytest.approx(float(reply[0]), abs=1e-4)


def test_low_precision_gives_nearly_the_same_log_probabilities(project: Path) -> None:
    suite = load_suite("sandbox")
    task = next(name for name in suite.tasks if "finance" in name)
    values = []
    for dtype in ("float32", "bfloat16"):
        pair = load_model(project / "sandbox" / "finance", device="cpu", dtype=dtype)
        (score,) = (
            event
            for event in evaluate(*pair, suite, tasks=[task], limit=8)
            if event["kind"] == "score"
        )
        assert score["config"]["dtype"] == dtype
        values.append(
            [choice["loglikelihood"] for a in score["answers"] for choice in a["choices"]]
        )
    assert values[0] == pytest.approx(values[1], rel=0.05, abs=0.3)
    assert values[0] != values[1]
