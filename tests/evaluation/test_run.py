"""A whole evaluation: events, answers, settings, cancelling."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluation.errors import SuiteError
from evaluation.run import config_hash, evaluate, task_configs
from evaluation.suites import load_suite
from tests.evaluation.conftest import of_kind, run, scores, write_suite


@pytest.fixture(scope="module")
def golden_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_suite(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def golden(sandbox_pair: Any, golden_folder: Path) -> list[dict[str, Any]]:
    """One run that several tests look at."""
    return run(sandbox_pair, golden_folder, model_label="tiny")


def test_events_are_json_and_come_in_order(golden: list[dict[str, Any]]) -> None:
    json.dumps(golden)
    kinds = [event["kind"] for event in golden]
    assert kinds[0] == "stage" and kinds[-1] == "result"
    assert [event["task"] for event in of_kind(golden, "score")] == [
        "pick",
        "free",
        "word",
        "rolling",
    ]
    progress = of_kind(golden, "progress")
    done = [event["done"] for event in progress]
    assert done == sorted(done)
    assert done[-1] == progress[-1]["total"] == 4 + 3 * 3
    assert golden[-1]["errors"] == {}
    assert golden[-1]["model"] == "tiny"


def test_scores_carry_their_configuration(
    golden: list[dict[str, Any]], golden_folder: Path
) -> None:
    configs = task_configs(load_suite(golden_folder / "tiny.yaml"), None, "float32")
    for task, score in scores(golden).items():
        assert score["config"] == configs[task]
        assert score["config_hash"] == config_hash(configs[task])
        assert score["task_version"] == "2.0"
        assert len(score["prompts_hash"]) == 64
        assert score["seconds"] > 0
    assert scores(golden)["pick"]["domain"] == "choice"


def test_multiple_choice_answers(golden: list[dict[str, Any]]) -> None:
    pick = scores(golden)["pick"]
    assert pick["metric"] == "acc" and pick["n"] == 4
    assert set(pick["metrics"]) == {"acc", "acc_norm"}
    for answer in pick["answers"]:
        best = max(answer["choices"], key=lambda choice: choice["loglikelihood"])
        assert answer["output"] == answer["extracted"] == best["text"]
        assert answer["correct"] is (answer["output"] == answer["target"])
        assert answer["score"] == float(answer["correct"])
    assert pick["value"] == sum(a["score"] for a in pick["answers"]) / 4
    assert pick["answers"][0]["prompt"] == "What is the sector of Deltor?"
    assert pick["answers"][3]["target"] == "5 6"


def test_free_answers(golden: list[dict[str, Any]]) -> None:
    free = scores(golden)["free"]
    assert free["metric"] == "exact_match"
    for answer in free["answers"]:
        assert answer["choices"] is None
        assert answer["stopped"] in {"eos", "until", "length"}
        assert isinstance(answer["output"], str) and "\n" not in answer["output"]
        assert answer["correct"] is False
    assert [a["target"] for a in free["answers"]] == ["health", "30", "sat"]


def test_loglikelihood_answers(golden: list[dict[str, Any]]) -> None:
    word, rolling = scores(golden)["word"], scores(golden)["rolling"]
    assert word["answers"][0]["choices"][0]["text"] == " health"
    assert set(word["metrics"]) == {"acc", "perplexity"}
    assert rolling["metric"] == "bits_per_byte" and rolling["higher_is_better"] is False
    assert rolling["value"] > 0 and rolling["stderr"] > 0
    assert rolling["answers"][0]["prompt"] == ""


def test_the_same_run_again_gives_the_same_numbers(
    sandbox_pair: Any, golden_folder: Path, golden: list[dict[str, Any]]
) -> None:
    again = scores(run(sandbox_pair, golden_folder))
    for task, score in scores(golden).items():
        assert again[task]["value"] == score["value"]
        assert again[task]["answers"] == score["answers"]
        assert again[task]["prompts_hash"] == score["prompts_hash"]


def test_tasks_limit_and_skip(sandbox_pair: Any, suite_folder: Path) -> None:
    events = run(sandbox_pair, suite_folder, tasks=["word", "pick"], limit=2, skip={"word"})
    assert list(scores(events)) == ["pick"]
    assert scores(events)["pick"]["n"] == 2
    assert scores(events)["pick"]["config"]["limit"] == 2
    assert events[-1]["skipped"] == ["word"]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(sandbox_pair: Any, suite_folder: Path, limit: int) -> None:
    with pytest.raises(SuiteError, match="at least 1 item"):
        run(sandbox_pair, suite_folder, limit=limit)


def test_unknown_tasks_get_the_nearest_name(sandbox_pair: Any, suite_folder: Path) -> None:
    with pytest.raises(SuiteError, match="no task 'pik'. Did you mean 'pick'"):
        run(sandbox_pair, suite_folder, tasks=["pik"])


def test_a_run_can_be_cancelled_between_batches(sandbox_pair: Any, suite_folder: Path) -> None:
    import torch

    rows = [{"q": f"numbers {i}", "t": "x"} for i in range(300)]
    (suite_folder / "tasks" / "free.jsonl").write_text("\n".join(map(json.dumps, rows)))
    torch.set_num_threads(2)
    stream: Iterator[dict[str, Any]] = evaluate(
        *sandbox_pair, load_suite(suite_folder / "tiny.yaml"), tasks=["free"]
    )
    steps = 0
    for event in stream:
        steps += event["kind"] == "progress"
        if steps == 5:
            break
    assert event["done"] < 300
    stream.close()  # type: ignore[attr-defined]
    assert torch.get_num_threads() == 2
    head = sandbox_pair[0].get_output_embeddings()
    assert not head._forward_pre_hooks


def chat_suite(folder: Path) -> None:
    path = folder / "tiny.yaml"
    path.write_text(path.read_text() + "task_settings: {free: {apply_chat_template: true}}\n")


def test_chat_uses_the_models_template_or_the_suites(sandbox_pair: Any, suite_folder: Path) -> None:
    chat_suite(suite_folder)
    model, tokenizer = sandbox_pair
    bare = copy.deepcopy(tokenizer)
    bare.chat_template = None
    own = scores(run((model, tokenizer), suite_folder, tasks=["free"]))["free"]
    fallback = scores(run((model, bare), suite_folder, tasks=["free"]))["free"]
    assert own["answers"][2]["prompt"] == "<|endoftext|><|user|>The cat<|assistant|>"
    assert fallback["prompts_hash"] == own["prompts_hash"]
    assert fallback["config_hash"] == own["config_hash"]
    assert fallback["answers"] == own["answers"]


def test_chat_without_any_template_is_said(sandbox_pair: Any, suite_folder: Path) -> None:
    chat_suite(suite_folder)
    path = suite_folder / "tiny.yaml"
    path.write_text(path.read_text().replace(", chat_template: chat.jinja", ""))
    bare = copy.deepcopy(sandbox_pair[1])
    bare.chat_template = None
    (error,) = of_kind(run((sandbox_pair[0], bare), suite_folder), "task_error")
    assert "neither the model nor the suite has one" in error["text"]


def test_few_shot_examples_come_first(sandbox_pair: Any, suite_folder: Path) -> None:
    path = suite_folder / "tiny.yaml"
    path.write_text(path.read_text() + "task_settings: {free: {num_fewshot: 2}}\n")
    free = scores(run(sandbox_pair, suite_folder, tasks=["free"]))["free"]
    assert free["config"]["num_fewshot"] == 2
    assert free["answers"][0]["prompt"].count("\n\n") == 2


def test_items_of_one_source_widen_the_error(sandbox_pair: Any, suite_folder: Path) -> None:
    from scipy import stats

    rows = [
        {"q": f"numbers {i}", "c": ["4", "5 6"], "a": i % 2, "report": str(i % 2)}
        for i in range(12)
    ]
    (suite_folder / "tasks" / "choices.jsonl").write_text("\n".join(map(json.dumps, rows)))
    plain = scores(run(sandbox_pair, suite_folder, tasks=["pick"]))["pick"]
    path = suite_folder / "tasks" / "pick.yaml"
    path.write_text(path.read_text().replace("version: 2.0", "version: 2.0, cluster: report"))
    clustered = scores(run(sandbox_pair, suite_folder, tasks=["pick"]))["pick"]
    assert plain["stderr"] == pytest.approx(stats.sem([a["score"] for a in plain["answers"]]))
    assert clustered["value"] == plain["value"]
    assert clustered["stderr"] > plain["stderr"]
    path.write_text(path.read_text().replace("cluster: report", "cluster: firm"))
    (error,) = of_kind(run(sandbox_pair, suite_folder, tasks=["pick"]), "task_error")
    assert "cluster field 'firm'" in error["text"]


@pytest.mark.parametrize(
    ("value", "score"),
    [
        (True, 1.0),
        (0.25, 0.25),
        ((1, 1), 1.0),
        ((1, 0), 0.0),
        (("a", "a"), 1.0),
        ((-6.0, 3), -2.0),
        ((1, [0.2, 0.8]), 1.0),
        ((0, [0.2, 0.8]), 0.0),
        (float("-inf"), -1e30),
        ({"odd": 1}, 0.0),
    ],
)
def test_every_item_gets_a_finite_score(value: Any, score: float) -> None:
    from evaluation.answers import _item_score

    assert _item_score(value) == score
