"""Files that lm-eval itself writes, and small ones by hand."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.conftest import TASKS, write_suite


@pytest.fixture(scope="session")
def harness_folder(tmp_path_factory: pytest.TempPathFactory, sandbox_pair: tuple[Any, Any]) -> Path:
    """The folder that lm-eval writes for a run of four output types with samples."""
    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    folder = write_suite(tmp_path_factory.mktemp("harness"))
    before = Path.cwd()
    os.chdir(folder / "tasks")  # where its tasks' relative data files are
    try:
        tracker = EvaluationTracker(output_path=str(folder / "out"))
        found = simple_evaluate(
            model=HFLM(
                pretrained=sandbox_pair[0],
                tokenizer=sandbox_pair[1],
                batch_size=4,
            ),
            tasks=list(TASKS),
            task_manager=TaskManager(include_path=str(folder / "tasks"), include_defaults=False),
            bootstrap_iters=0,
            log_samples=True,
            evaluation_tracker=tracker,
        )
        assert found is not None
        samples = found.pop("samples")
        tracker.save_results_aggregated(results=found, samples=samples)
        for task, rows in samples.items():
            tracker.save_results_samples(task_name=task, samples=rows)
    finally:
        os.chdir(before)
    (out,) = (folder / "out").iterdir()
    return out


def old_finance(**more: Any) -> dict[str, Any]:
    """The Japanese financial harness's first layout: no filters, shots as a list."""
    return {
        "results": {
            "chabsa-1.0-0.1": {"acc": 0.85, "f1": 0.875},
            "cma_basics-1.0-0.1.2": {"acc": 0.5, "acc_stderr": 0.08219949365267865, "map": 0.7},
            "fp2-1.0-0.1.2": {"acc": 0.3},
        },
        "versions": {"chabsa-1.0-0.1": 1.0, "cma_basics-1.0-0.1.2": 1.0, "fp2-1.0-0.1.2": 1.0},
        "config": {
            "model": "hf-causal-experimental",
            "model_args": "pretrained=org/model-7b,trust_remote_code=True",
            "num_fewshot": [4, 0, 4],
            "limit": None,
        },
        **more,
    }


def new_finance() -> dict[str, Any]:
    """Its present layout: lm-eval 0.4's, without samples."""
    task = "security_sales_1-1.0-0.1.2"
    return {
        "results": {
            task: {"acc,none": 26 / 57, "acc_stderr,none": 0.06655775300696491,
                   "acc_norm,none": 26 / 57, "acc_norm_stderr,none": "N/A", "alias": task},
        },
        "group_subtasks": {task: []},
        "configs": {task: {"task": task, "output_type": "multiple_choice", "num_fewshot": 0,
                           "metric_list": [{"metric": "acc", "aggregation": "mean"}],
                           "metadata": {"version": 1.0}}},
        "versions": {task: 1.0},
        "n-shot": {task: 0},
        "config": {"model": "vllm", "model_args": "pretrained=org/model-7b,dtype=bfloat16",
                   "limit": None},
    }  # fmt: skip


def first_04(samples: bool = True) -> dict[str, str]:
    """lm-eval 0.4.0: `results.json`, samples as one list under a name of the arguments."""
    results = {
        "results": {"arc": {"alias": "arc", "acc,none": 0.5, "acc_stderr,none": 0.5}},
        "configs": {"arc": {"task": "arc", "output_type": "multiple_choice",
                            "metric_list": [{"metric": "acc", "aggregation": "mean"}]}},
        "versions": {"arc": 1.0},
        "n-shot": {"arc": 5},
        "config": {"model": "hf", "model_args": "pretrained=gpt2", "limit": 2.0},
        "git_hash": "0",
    }  # fmt: skip
    rows = [
        {"doc_id": i, "doc": {"q": f"Q{i}"}, "target": 1,
         "arguments": [[f"Q{i}", " no"], [f"Q{i}", " yes"]],
         "resps": [[[-2.0, False]], [[-1.0 - 2 * i, False]]],
         "filtered_resps": [[-2.0, False], [-1.0 - 2 * i, False]], "acc": 1.0 - i}
        for i in range(2)
    ]  # fmt: skip
    found = {"results.json": json.dumps(results)}
    return found | ({"pretrained__gpt2_arc.jsonl": json.dumps(rows, indent=2)} if samples else {})
