"""Macro-F1 against scikit-learn, its error against drawing items, and a task that uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from evaluation.metrics import macro_f1, macro_f1_error
from tests.evaluation.conftest import run, scores

RNG = np.random.default_rng(1)
LABELS = RNG.integers(0, 3, 120).tolist()
GUESSES = [x if RNG.random() < 0.6 else int(RNG.integers(0, 3)) for x in LABELS]
ITEMS = list(zip(LABELS, GUESSES, strict=True))


@pytest.mark.parametrize("items", [ITEMS, [(0, 0)], [(0, 1), (1, 0)], [("up", "down")]])
def test_macro_f1_is_scikit_learns(items: list[tuple[Any, Any]]) -> None:
    labels, guesses = zip(*items, strict=True)
    expected = f1_score(labels, guesses, average="macro", zero_division=0)
    assert macro_f1(items) == pytest.approx(expected)


def test_the_error_is_that_of_drawing_items() -> None:
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(2000):
        picked = [ITEMS[i] for i in rng.integers(0, len(ITEMS), len(ITEMS))]
        draws.append(macro_f1(picked))
    assert macro_f1_error(ITEMS) == pytest.approx(float(np.std(draws, ddof=1)), rel=0.1)
    assert macro_f1_error([(0, 0)]) is None


def test_no_items_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one item"):
        macro_f1([])


def test_a_task_with_three_classes(sandbox_pair: Any, suite_folder: Path) -> None:
    rows = [{"q": f"numbers {i}", "c": ["up", "down", "flat"], "a": i % 3} for i in range(9)]
    (suite_folder / "tasks" / "choices.jsonl").write_text("\n".join(map(json.dumps, rows)))
    path = suite_folder / "tasks" / "pick.yaml"
    text = path.read_text()
    path.write_text(
        text[: text.index("metric_list")]
        + "metric_list:\n  - metric: f1\n    higher_is_better: true\n"
        + "    aggregation: !function evaluation.metrics.macro_f1\n"
    )
    pick = scores(run(sandbox_pair, suite_folder, tasks=["pick"]))["pick"]
    right = [answer["target"] for answer in pick["answers"]]
    given = [answer["output"] for answer in pick["answers"]]
    assert pick["metric"] == "f1"
    assert pick["value"] == pytest.approx(f1_score(right, given, average="macro"))
    assert pick["stderr"] > 0
    assert all(a["correct"] is (a["output"] == a["target"]) for a in pick["answers"])
