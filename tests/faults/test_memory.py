"""Memory runs out: half as much is taken the next time, the page says so, and it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.running import api, memory
from jobs.running.launch import Warm
from jobs.running.runner import Runner
from tests.jobs.conftest import row

STARVED = "starved"


@pytest.fixture
def runner(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    monkeypatch.setenv("CRUCIBLE_JOB_KINDS", f"{STARVED}=tests.faults.starved_kind")
    monkeypatch.setattr(memory, "HALVED", {STARVED: "batch"})
    counts = tmp_path / "counts"
    counts.write_text("oom_kill 3\n")
    monkeypatch.setattr(memory, "KERNEL_COUNTS", counts)
    made = Runner(["cpu"], Warm())
    yield made
    made.close()


def ended(runner: Runner, tmp_path: Path, **spec: Any) -> Any:
    job = api.submit(STARVED, {**spec, "counts": str(tmp_path / "counts")}, title="Starved")
    for _ in range(2000):
        runner.step(0.05)
        if not row(job).open:
            return row(job)
    raise AssertionError(f"still {row(job)}")


@pytest.mark.parametrize("how", ["told", "killed"])
def test_half_is_taken_until_it_is_enough(runner: Runner, tmp_path: Path, how: str) -> None:
    done = ended(runner, tmp_path, enough=2, how=how)
    assert (done.state, done.attempt, done.deaths) == ("done", 3, 0)
    assert (done.result["taken"], done.result["halvings"]) == (2, 2)
    told = "Memory ran out 2 times: tried again with 1/4 of the usual batch."
    assert done.result["warnings"] == [told]
    assert memory.told(STARVED, done.result) == told


def test_it_ends_in_a_sentence(runner: Runner, tmp_path: Path) -> None:
    failed = ended(runner, tmp_path, enough=99, how="told")
    assert (failed.state, failed.attempt) == ("failed", memory.MOST_HALVINGS + 1)
    assert failed.error == (
        "The machine ran out of memory 6 times, at last with 1/32 of the usual batch. Close other "
        "programs and try again, or use a smaller model."
    )
    api.retry(failed.id)
    assert memory.told(STARVED, row(failed.id).result) is None  # the user has made room


def test_a_kill_for_another_reason_is_no_lack_of_memory(runner: Runner, tmp_path: Path) -> None:
    failed = ended(runner, tmp_path, enough=99, how="other")
    assert (failed.state, failed.deaths) == ("failed", 3)
    assert "Given up after it was started 3 times" in failed.error


def test_the_kernels_counts_are_read() -> None:
    found = memory.kills()
    assert found is None or found >= 0
    assert not memory.killed_since(None)
    assert not memory.killed_since(found)
