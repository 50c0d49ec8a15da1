"""Few-shot examples from the items themselves: never the question, never from the other part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.configs import config_hash, task_configs
from evaluation.holdout import Part
from evaluation.suites import load_suite
from tests.evaluation.conftest import of_kind, run, scores

ROWS = [{"q": f"Riddle {i} ({chr(97 + i)}{chr(97 + i)}):", "t": f"word{i}"} for i in range(16)]
TRAIN = [{"q": f"Lesson {i}:", "t": f"word{i}"} for i in range(6)]


def ask(pair: Any, folder: Path, splits: str, **more: Any) -> list[dict[str, Any]]:
    """Events of one task of sixteen riddles, asked with examples."""
    tasks = folder / "tasks"
    for name, rows in (("riddles", ROWS), ("lessons", TRAIN)):
        (tasks / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tasks / "word.yaml").write_text(
        "task: word\noutput_type: loglikelihood\ndataset_path: json\n"
        "dataset_kwargs: {data_files: {test: riddles.jsonl, train: lessons.jsonl}}\n"
        f"{splits}\ndoc_to_text: q\ndoc_to_target: ' {{{{t}}}}'\n"
        "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n"
    )
    return run(pair, folder, tasks=["word"], **more)


def examples(event: dict[str, Any]) -> dict[int, list[int]]:
    """Item -> the riddles that stand before it as examples."""
    found = {}
    for answer in event["answers"]:
        *before, own = [i for i in range(16) for _ in [0] if f"Riddle {i} (" in answer["prompt"]]
        order = sorted(range(16), key=lambda i: answer["prompt"].find(f"Riddle {i} ("))
        here = [i for i in order if f"Riddle {i} (" in answer["prompt"]]
        assert answer["prompt"].count("Riddle") == len(before) + 1
        found[answer["doc_id"]] = here[:-1]
        assert here[-1] == answer["doc_id"]
    return found


SAME = {
    "fallback": "test_split: test\nnum_fewshot: 3",
    "named": "test_split: test\nfewshot_split: test\nnum_fewshot: 3",
    "in order": "test_split: test\nfewshot_split: test\nnum_fewshot: 3\n"
    "fewshot_config: {sampler: first_n}",
    "validation": "validation_split: test\nnum_fewshot: 3",
    "validation named": "validation_split: test\nfewshot_split: test\nnum_fewshot: 3",
}


@pytest.mark.parametrize("splits", SAME)
def test_no_example_is_the_question_or_of_the_other_part(
    sandbox_pair: Any, suite_folder: Path, splits: str
) -> None:
    parts: dict[str, set[int]] = {}
    for part in (Part("search", 3), Part("held-out", 3)):
        events = ask(sandbox_pair, suite_folder, SAME[splits], part=part)
        assert of_kind(events, "task_error") == []
        found = examples(scores(events)["word"])
        parts[part.name] = set(found)
        for item, before in found.items():
            assert len(before) == len(set(before)) == 3
            assert item not in before and set(before) <= set(found)
    assert parts["search"] | parts["held-out"] == set(range(16))
    whole = examples(scores(ask(sandbox_pair, suite_folder, SAME[splits]))["word"])
    assert all(len(before) == 3 and item not in before for item, before in whole.items())
    if splits != "in order":  # (there the first three serve everybody)
        assert any(
            (item in parts["search"]) != (one in parts["search"])
            for item, before in whole.items() for one in before
        )  # fmt: skip


@pytest.mark.parametrize("splits", SAME)
def test_without_a_part_the_prompts_are_the_harness_s(
    sandbox_pair: Any, suite_folder: Path, splits: str, hflm: Any
) -> None:
    """Word for word, but where the harness gives a question as its own example."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    events = ask(sandbox_pair, suite_folder, SAME[splits])
    ours = {a["doc_id"]: a["prompt"] for a in scores(events)["word"]["answers"]}
    config = (suite_folder / "tasks" / "word.yaml").read_text()
    for name in ("riddles", "lessons"):
        config = config.replace(f"{name}.jsonl", str(suite_folder / "tasks" / f"{name}.jsonl"))
    (suite_folder / "theirs").mkdir()
    (suite_folder / "theirs" / "word.yaml").write_text(config)
    found = simple_evaluate(
        model=hflm(*sandbox_pair), tasks=["word"], bootstrap_iters=0, log_samples=True,
        task_manager=TaskManager(include_path=str(suite_folder / "theirs"), include_defaults=False),
    )  # fmt: skip
    for sample in found["samples"]["word"]:
        theirs, item = sample["arguments"][0][0], sample["doc_id"]
        leaked = theirs.count(f"Riddle {item} (") > 1
        assert leaked or ours[item] == theirs
        assert not leaked or splits not in ("named", "in order")


def test_a_split_of_examples_is_left_alone(sandbox_pair: Any, suite_folder: Path) -> None:
    for splits in ("test_split: test\ntraining_split: train\nnum_fewshot: 2",
                   "test_split: test\nfewshot_split: train\nnum_fewshot: 2"):  # fmt: skip
        whole, half = (
            scores(ask(sandbox_pair, suite_folder, splits, part=part))["word"]["answers"]
            for part in (None, Part("search", 3))
        )
        assert all(answer["prompt"].count("Lesson") == 2 for answer in [*whole, *half])
        assert len(whole) == 16 and len(half) == 8


def test_a_part_with_too_few_items_for_examples_is_said(
    sandbox_pair: Any, suite_folder: Path
) -> None:
    splits = SAME["fallback"].replace("3", "8")
    (error,) = of_kind(
        ask(sandbox_pair, suite_folder, splits, part=Part("search", 3)), "task_error"
    )
    assert error["text"] == ("Task word: it takes its 8 examples from its own items, and this part "
                             "of it has only 8.")  # fmt: skip
    assert of_kind(ask(sandbox_pair, suite_folder, splits), "task_error") == []


def test_scores_with_leaking_examples_are_not_taken_for_these(
    sandbox_pair: Any, suite_folder: Path
) -> None:
    ask(sandbox_pair, suite_folder, SAME["fallback"])
    suite = load_suite(suite_folder / "tiny.yaml")
    part = Part("search", 3)
    config = task_configs(suite, part=part)["word"]
    assert config["fewshot_within_part"] is True
    assert "fewshot_within_part" not in task_configs(suite)["word"]
    assert "fewshot_within_part" not in task_configs(suite, part=part)["free"]  # no examples
    old = {key: value for key, value in config.items() if key != "fewshot_within_part"}
    assert config_hash(config) != config_hash(old)
    ask(sandbox_pair, suite_folder, "test_split: test\nfewshot_split: train\nnum_fewshot: 2")
    assert "fewshot_within_part" not in task_configs(suite, part=part)["word"]
