"""With less in memory at a time the scores are the same, and running out is not hidden."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from evaluation.errors import is_out_of_memory
from evaluation.run import evaluate, load_model
from evaluation.scoring.forward import token_budget
from evaluation.scoring.generation import GenerationEngine
from evaluation.scoring.loglikelihood import LoglikelihoodEngine
from evaluation.suites import load_suite

SANDBOX = Path(__file__).resolve().parents[2] / "sandbox"
TASKS = ["sandbox_general_capitals", "sandbox_math_words"]  # choices, and written answers


@pytest.fixture(scope="module")
def loaded() -> tuple[Any, Any]:
    return load_model(SANDBOX / "math", device="cpu", dtype="float32")


def scores(loaded: tuple[Any, Any], halvings: int = 0) -> dict[str, Any]:
    events = list(evaluate(*loaded, load_suite("sandbox"), tasks=TASKS, limit=24,
                           halvings=halvings))  # fmt: skip
    found = [event for event in events if event["kind"] == "score"]
    return {one["task"]: (one["value"], [answer["output"] for answer in one["answers"]])
            for one in found}  # fmt: skip


def test_halved_again_and_again_it_scores_the_same(
    loaded: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    real = LoglikelihoodEngine._run
    monkeypatch.setattr(
        LoglikelihoodEngine, "_run",
        lambda self, batch, *rest: (sizes.append(len(batch)), real(self, batch, *rest))[1],
    )  # fmt: skip
    usual = scores(loaded)
    most = max(sizes)
    sizes.clear()
    assert scores(loaded, halvings=9) == usual
    assert set(usual) == set(TASKS)
    assert max(sizes) < most


def test_the_budget_is_halved_and_never_nothing() -> None:
    cpu = torch.device("cpu")
    assert [token_budget(10**6, cpu, halvings) for halvings in (0, 1, 3)] == [8192, 4096, 1024]
    assert token_budget(10**12, cpu, 40) == 1


def test_a_batch_that_does_not_fit_is_halved_at_once(
    loaded: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = scores(loaded)
    real = LoglikelihoodEngine._run

    def tight(self: LoglikelihoodEngine, batch: Any, *rest: Any) -> Any:
        if len(batch) > 3:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: ...")
        return real(self, batch, *rest)

    monkeypatch.setattr(LoglikelihoodEngine, "_run", tight)
    assert scores(loaded) == usual


def test_memory_that_runs_out_is_not_told_as_a_tasks_defect(
    loaded: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def starve(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(GenerationEngine, "run", starve)
    with pytest.raises(MemoryError):
        scores(loaded)


def test_which_errors_say_that_memory_ran_out() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    assert not is_out_of_memory(RuntimeError("shape '[2]' is invalid"))
