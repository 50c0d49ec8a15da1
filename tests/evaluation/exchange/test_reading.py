"""What comes in: lm-eval's own files, older layouts, the Japanese financial harness."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from evaluation.exchange.given import ExchangeError, from_path, from_texts
from evaluation.exchange.reading import Result, read
from tests.evaluation.conftest import run, scores, write_suite
from tests.evaluation.exchange.conftest import first_04, new_finance, old_finance


def of_texts(*values: dict[str, Any], **texts: str) -> Result:
    named = {f"results_{i}.json": json.dumps(value) for i, value in enumerate(values)}
    return read(from_texts({**named, **texts}))


def test_what_lm_eval_writes_is_what_our_scorer_says(
    harness_folder: Path, sandbox_pair: Any, tmp_path: Path
) -> None:
    result = read(from_path(harness_folder))
    suite = write_suite(tmp_path) / "tiny.yaml"
    suite.write_text(suite.read_text().replace("add_bos_token: true, ", ""))
    ours = scores(run(sandbox_pair, tmp_path))
    assert [task.task for task in result.tasks] == list(ours)
    assert result.source.startswith("lm-eval 0.4")
    for task in result.tasks:
        own = ours[task.task]
        assert (task.metric, task.n, task.higher_is_better) == (
            own["metric"], own["n"], own["higher_is_better"]
        )  # fmt: skip
        assert task.value == pytest.approx(own["value"], rel=1e-4)
        for answer, expected in zip(task.answers, own["answers"], strict=True):
            for name in ("doc_id", "doc_hash", "prompt", "prompt_hash", "target", "correct"):
                assert answer[name] == expected[name], (task.task, name)
            assert answer["score"] == pytest.approx(expected["score"], rel=1e-4)
            assert [c["text"] for c in answer["choices"] or ()] == [
                c["text"] for c in expected["choices"] or ()
            ]
            if task.task == "pick":
                assert answer["output"] == expected["output"]


def test_what_a_mean_cannot_hold_is_said(harness_folder: Path) -> None:
    assert read(from_path(harness_folder)).notes == (
        "In rolling lower is better (bits_per_byte): it is compared in that direction, and is in "
        "no mean over tasks.",
    )


def test_one_file_of_the_folder_is_enough(harness_folder: Path) -> None:
    (main,) = harness_folder.glob("results_*.json")
    assert read(from_path(main)) == read(from_path(harness_folder))


def test_an_imported_configuration_says_so(harness_folder: Path) -> None:
    for task in read(from_path(harness_folder)).tasks:
        assert str(task.config["imported"]).startswith("lm-eval")


def test_the_financial_harness_of_old() -> None:
    result = of_texts(old_finance())
    assert (result.model, result.source) == ("org/model-7b", "the Japanese financial harness")
    chabsa, cma, fp2 = result.tasks
    assert (chabsa.metric, chabsa.value, chabsa.n) == ("f1", 0.875, 0)
    assert (cma.metric, cma.value, cma.n) == ("acc", 0.5, 38)  # worked out from the error
    assert (fp2.stderr, fp2.n) == (None, 0)
    assert [task.config["num_fewshot"] for task in result.tasks] == [4, 0, 4]


def test_the_financial_harness_of_today() -> None:
    (task,) = of_texts(new_finance()).tasks
    assert (task.value, task.stderr, task.n) == (26 / 57, pytest.approx(0.06656, abs=1e-5), 57)
    assert (task.task_version, task.config["dtype"]) == ("1.0", "bfloat16")


def test_lm_eval_0_4_0() -> None:
    (task,) = read(from_texts(first_04())).tasks
    assert (task.value, task.n, task.config["limit"]) == (0.5, 2, 2)
    assert [a["output"] for a in task.answers] == ["yes", "no"]
    assert [a["target"] for a in task.answers] == ["yes", "yes"]
    assert len(task.answers[0]["doc_hash"]) == 64


def test_groups_are_left_to_us() -> None:
    value = new_finance()
    value["results"]["finance"] = {"acc,none": 0.4, "alias": "finance"}
    value["group_subtasks"]["finance"] = ["security_sales_1-1.0-0.1.2"]
    assert len(of_texts(value).tasks) == 1


def test_a_filter_is_part_of_the_metric() -> None:
    value = {"results": {"gsm8k": {"exact_match,flexible-extract": 0.5,
                                   "exact_match,strict-match": 0.2}},
             "configs": {"gsm8k": {"metric_list": [{"metric": "exact_match"}],
                                   "filter_list": [{"name": "strict-match"},
                                                   {"name": "flexible-extract"}]}}}  # fmt: skip
    (task,) = of_texts(value).tasks
    assert (task.metric, task.value) == ("exact_match,strict-match", 0.2)


def test_a_task_without_a_figure_is_noted() -> None:
    value = old_finance()
    value["results"]["fp2-1.0-0.1.2"] = {"acc": "N/A", "alias": "fp2"}
    result = of_texts(value)
    assert len(result.tasks) == 2
    assert result.notes == ("fp2-1.0-0.1.2 has no figure, so it is left out.",)


def _mangled(change: str) -> dict[str, str]:
    texts = first_04()
    name = "pretrained__gpt2_arc.jsonl"
    rows, results = json.loads(texts[name]), json.loads(texts["results.json"])
    match change:
        case "twice":
            rows[1]["doc_id"] = 0
        case "other run":
            rows[1]["acc"] = 1.0
        case "no number":
            del rows[0]["doc_id"]
        case "no metric":
            del rows[0]["acc"]
        case "not a number":
            rows[0]["acc"] = math.nan
        case "no resps":
            del rows[0]["resps"], rows[0]["filtered_resps"]
        case "resps":
            rows[0]["filtered_resps"] = [["x", "y"]]
        case "fewer":
            results["n-samples"] = {"arc": {"original": 3, "effective": 3}}
        case "empty":
            rows = []
    return {"results.json": json.dumps(results), name: json.dumps(rows)}


SENTENCES = {
    "twice": "The samples of arc have an item twice; are two runs in the file?",
    "other run": "The samples of arc have a mean acc of 1.0000 and results.json says 0.5000: they "
    "are of another run.",
    "no number": "The samples of arc, item ?: it has no number (`doc_id`).",
    "no metric": "The samples of arc, item 0: it has no acc, which results.json has.",
    "not a number": "The samples of arc, item 0: its acc is nan, which is no score.",
    "no resps": "The samples of arc, item 0: its answer (`resps`) is not in lm-eval's form.",
    "resps": "The samples of arc, item 0: its answer (`resps`) is not in lm-eval's form.",
    "fewer": "The samples of arc are 2 items and results.json says 3: they are of another run.",
    "empty": "pretrained__gpt2_arc.jsonl is empty.",
}


@pytest.mark.parametrize("change", list(SENTENCES))
def test_bad_samples_get_one_sentence(change: str) -> None:
    with pytest.raises(ExchangeError) as caught:
        read(from_texts(_mangled(change)))
    assert str(caught.value) == SENTENCES[change]
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ({}, "None of the files is a results file (results_*.json); give one, with its samples."),
        ({"a.json": '{"results": {}}'}, "a.json has no task with a figure."),
        ({"a.json": "{"}, "a.json, line 1 is not JSON; was it cut off?"),
        ({"a.json": "[" * 100_000}, "a.json is not JSON; was it cut off?"),
        ({"a.json": "{}"}, "a.json has no `results`: it is neither a result file of lm-eval nor of "
         "the Japanese financial harness."),
        ({"a.json": '{"results": {"t": {"acc": Infinity}}}'},
         "a.json: the acc of t is inf, which is no score."),
        ({"a.json": '{"results": {"t": 3}}'}, "a.json: the task 't' has no table of metrics."),
        ({"a.json": '{"results": {"t": {"acc": 1}}}', "b.json": '{"results": {"t": {"acc": 1}}}'},
         "2 of the files are a results file (results_*.json); give one, with its samples."),
        ({"a.json": '{"results": {"t": {"acc": 1}}}', "samples_u.jsonl": "{}"},
         "samples_u.jsonl belongs to no task of the results file."),
        ({"a.json": '{"results": {"t": {"acc": 1}}}', "samples_t.jsonl": '{"a": 1}\n{"a": '},
         "samples_t.jsonl, line 2 is not JSON; was it cut off?"),
        ({"a.json": '{"results": {"t": {"acc": 1}}}', "samples_t.jsonl": "3"},
         "samples_t.jsonl does not hold one JSON object for each item."),
        ({"results_2026-01-01T00-00-00.json": '{"results": {"t": {"acc": 1}}}',
          "samples_t_2026-01-02T00-00-00.jsonl": "{}"},
         "samples_t_2026-01-02T00-00-00.jsonl is of another run than "
         "results_2026-01-01T00-00-00.json: their dates differ."),
    ],
)  # fmt: skip
def test_bad_files_get_one_sentence(texts: dict[str, str], sentence: str) -> None:
    with pytest.raises(ExchangeError) as caught:
        read(from_texts(texts))
    assert str(caught.value) == sentence


def test_folders_that_say_too_little_or_too_much(tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="There is no file or folder"):
        from_path(tmp_path / "gone")
    with pytest.raises(ExchangeError, match="holds no results file"):
        from_path(tmp_path)
    for name in ("results_1.json", "results_2.json"):
        (tmp_path / name).write_text(json.dumps(old_finance()))
    with pytest.raises(ExchangeError, match="holds 2 results files"):
        from_path(tmp_path)
    assert len(read(from_path(tmp_path / "results_2.json")).tasks) == 3
    (tmp_path / "results_2.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ExchangeError, match=r"results_2.json is not a text file"):
        from_path(tmp_path / "results_2.json")
