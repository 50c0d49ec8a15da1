"""Datasets from the Hub: a small server stands in for it, on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evaluation.published.facts import datasets
from tests.evaluation import published as made
from tests.merging import hub_server
from tests.merging.hub_server import COMMIT, HubServer

PINNED = datasets()["fpb"].revision

CHILD = """
import json, os, sys
from evaluation.suites import load_suite
from evaluation.published.origin import origin
from evaluation.harness.tasks import load_task, quiet_harness
found = {}
suite = load_suite(sys.argv[1])
for name in sys.argv[2:]:
    try:
        with quiet_harness():
            task = load_task(suite, name, dict(suite.task_files()))
        found[name] = [len(task.eval_docs), origin(task)]
    except Exception as error:
        found[name] = [type(error).__name__, str(error)]
print("\\n" + json.dumps(found))
"""


def load(folder: Path, suite: str, *tasks: str, **env: str) -> dict[str, Any]:
    """Load tasks in a process of its own: the Hub's library reads its settings once."""
    base = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    told = {"HF_HOME": str(folder / "hf"), "CRUCIBLE_DATA_DIR": str(folder / "data"),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_XET": "1", **env}  # fmt: skip
    shown = subprocess.run([sys.executable, "-c", CHILD, suite, *tasks], env={**base, **told},
                           capture_output=True, text=True, timeout=240)  # fmt: skip
    assert shown.returncode == 0, shown.stderr[-2000:]
    return dict(json.loads(shown.stdout.strip().splitlines()[-1]))


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Dataset repositories as the Hub has them."""
    monkeypatch.setitem(hub_server.REVISIONS, PINNED, PINNED)
    root = tmp_path / "served"
    made.write_zip(root, "fpb/data/FinancialPhraseBank-v1.0.zip",
                   {"x/Sentences_50Agree.txt": "\n".join(made.PHRASES).encode()})  # fmt: skip
    made.write(root, "fpb/README.md", "terms")
    made.write_csv(root, "fomc/test.csv", made.FOMC)
    made.write_csv(root, "fomc/train.csv", made.FOMC)
    rows = [{"question": "1 + 1?", "subject": "anatomy", "choices": list("1234"), "answer": 1}]
    for split in ("test", "dev"):
        made.write_parquet(root, f"mmlu/anatomy/{split}-00000-of-00001.parquet", rows)
    made.write(root, "mmlu/README.md", MMLU_CARD)
    return {"takala/financial_phrasebank": root / "fpb", "cais/mmlu": root / "mmlu",
            "gtfintechlab/fomc_communication": root / "fomc"}  # fmt: skip


MMLU_CARD = """---
configs:
- config_name: anatomy
  data_files:
  - {split: test, path: anatomy/test-*}
  - {split: dev, path: anatomy/dev-*}
---
"""


def test_a_pinned_file_and_one_without_a_pin(tmp_path: Path, served: dict[str, Path]) -> None:
    with HubServer(served) as server:
        online = load(tmp_path, "finance-18", "fpb", "fomc", HF_ENDPOINT=server.url)
        asked = list(server.requests)
    assert online["fpb"] == [3, f"takala/financial_phrasebank@{PINNED}"]
    assert online["fomc"] == [3, f"gtfintechlab/fomc_communication@{COMMIT}"]
    # Only what is read is downloaded, at the pinned commit.
    assert not any("train.csv" in line or "README" in line for line in asked)
    assert any(f"/resolve/{PINNED}/data/" in line for line in asked)
    # What was downloaded once is there without the Hub.
    assert load(tmp_path, "finance-18", "fpb", "fomc", HF_HUB_OFFLINE="1") == online


def test_without_file_and_hub_each_task_says_what_to_get(tmp_path: Path) -> None:
    offline = load(tmp_path, "finance-18", "fpb", "docmath_complong_cot", HF_HUB_OFFLINE="1")
    for name, told in (("fpb", "takala/financial_phrasebank@8d3fe0c36d5f on the Hub"),
                       ("docmath_complong_cot", "docmath/complong_testmini.json")):  # fmt: skip
        kind, text = offline[name]
        assert kind == "TaskError" and told in text and str(tmp_path / "data") in text
        assert "\n" not in text


def test_a_hub_that_refuses_is_one_sentence(tmp_path: Path, served: dict[str, Path]) -> None:
    with HubServer({}) as server:
        found = load(tmp_path, "finance-18", "fomc", HF_ENDPOINT=server.url)
    kind, text = found["fomc"]
    assert kind == "TaskError" and "fomc/test.csv" in text and "the Hub has no dataset" in text


def test_lm_evals_own_task_from_the_data_folder(tmp_path: Path, served: dict[str, Path]) -> None:
    absent = load(tmp_path, "general", "mmlu_global_facts", HF_HUB_OFFLINE="1")
    kind, text = absent["mmlu_global_facts"]
    assert kind == "TaskError" and "\n" not in text
    assert "cais/mmlu (part global_facts)" in text and "c30699e8356da336" in text
    assert str(tmp_path / "data" / "cais" / "mmlu") in text
    (tmp_path / "data" / "cais").mkdir(parents=True)
    served["cais/mmlu"].rename(tmp_path / "data" / "cais" / "mmlu")
    found = load(tmp_path, "tasks:mmlu_anatomy", "mmlu_anatomy", HF_HUB_OFFLINE="1")
    assert found["mmlu_anatomy"] == [1, "data folder"]
