"""Everything that can be wrong with a task, an item or a model: one sentence, and on it goes."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.conftest import of_kind, run, scores


def rewrite(folder: Path, name: str, text: str) -> None:
    (folder / "tasks" / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("choices.jsonl", None, "choices.jsonl does not exist"),
        ("choices.jsonl", "", "has no documents"),
        ("choices.jsonl", "{oops", "line 1 is not JSON"),
        ("choices.jsonl", '["a"]\n["b"]', "not a"),
        ("choices.jsonl", '{"q": "x", "c": ["a"], "a": 0}', "at least two choices.* has 1"),
        ("choices.jsonl", '{"q": "x", "c": ["a", ""], "a": 0}', "one of its choices is empty"),
        ("choices.jsonl", '{"z": 1}', "'q' is undefined"),
        ("pick.yaml", "task: [", "not valid YAML"),
        ("pick.yaml", "task: pick\noutput_type: telepathy\ndataset_path: json", "telepathy"),
        ("pick.yaml", "task: pick\ninclude: none.yaml", "none.yaml"),
    ],
)
def test_a_bad_task_is_one_sentence_and_the_rest_goes_on(
    sandbox_pair: Any, suite_folder: Path, file: str, text: str | None, said: str
) -> None:
    if text is None:
        (suite_folder / "tasks" / file).unlink()
    else:
        rewrite(suite_folder, file, text)
    events = run(sandbox_pair, suite_folder)
    (error,) = of_kind(events, "task_error")
    assert error["task"] == "pick"
    assert error["text"].startswith("Task pick: ") and error["text"].endswith(".")
    assert "\n" not in error["text"]
    assert re.search(said, error["text"]), error["text"]
    assert set(scores(events)) == {"free", "word", "rolling"}
    assert events[-1]["errors"] == {"pick": error["text"]}


@pytest.mark.parametrize("where", ["head", "norm"])
def test_a_model_of_nan_marks_each_task(sandbox_pair: Any, suite_folder: Path, where: str) -> None:
    import torch

    model = copy.deepcopy(sandbox_pair[0])
    weight = model.lm_head.weight if where == "head" else model.model.norm.weight
    with torch.no_grad():
        weight[0] = float("nan")
    events = run((model, sandbox_pair[1]), suite_folder)
    errors = of_kind(events, "task_error")
    assert [error["task"] for error in errors] == ["pick", "free", "word", "rolling"]
    assert all("NaN" in error["text"] for error in errors)
    assert events[-1]["scores"] == {}


def test_long_contexts_are_cut_with_a_warning(sandbox_pair: Any, suite_folder: Path) -> None:
    rows = [{"q": "The cat sat. " * 200, "c": ["a", "b"], "a": 0, "t": "x"}] * 2
    for name in ("choices.jsonl", "free.jsonl"):
        rewrite(suite_folder, name, "\n".join(map(json.dumps, rows)))
    events = run(sandbox_pair, suite_folder)
    assert set(scores(events)) == {"pick", "free", "word", "rolling"}
    texts = [event["text"] for event in of_kind(events, "warning")]
    assert any("longer than the model's window" in text for text in texts)
    assert any("leave no room for 12 new tokens" in text for text in texts)
