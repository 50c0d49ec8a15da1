"""A real merge and real scores, through the worker, on the shipped models."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from db.engine import session
from db.queries import jobs as job_rows
from db.queries import models as model_rows
from db.queries.leaderboard import board
from db.tables import Answer, Evaluation, Prompt
from evaluation.scoring.loading import scoring_dtype
from evaluation.suites import load_suite
from jobs import quickstart
from jobs.errors import JobError
from jobs.models import registry
from jobs.running import api
from jobs.scores import scored
from merging.errors import ModelError, RecipeError
from tests.jobs.conftest import row, wait_for, wait_state

LIMIT = 3


@pytest.fixture
def warm_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("CRUCIBLE_WARM", "1")
    assert registry.ensure_sandbox() == 5
    yield home


def finished(group: str) -> list[job_rows.JobRow]:
    wait_for(lambda: all(not one.open for one in job_rows.group(group)), seconds=200)
    rows = job_rows.group(group)
    assert [one.error for one in rows] == [None] * len(rows)
    return rows


def count(table: type) -> int:
    with session() as opened:
        return opened.scalar(select(func.count()).select_from(table)) or 0


def test_merge_and_benchmark(
    warm_home: Path, start_worker: Callable[..., subprocess.Popen[str]]
) -> None:
    start_worker()
    group = api.merge_and_benchmark(quickstart.RECIPE, suite="sandbox", limit=LIMIT)
    rows = finished(group)
    assert [one.title for one in rows] == [
        "Merge finance-chat",
        "Score finance-chat on sandbox",
        "Score sandbox/base on sandbox",
        "Score sandbox/finance on sandbox",
        "Score sandbox/instruct on sandbox",
    ]
    folder = warm_home / "models" / "finance-chat"
    assert {"config.json", "model.safetensors", "recipe.yaml", "tokenizer.json"} <= {
        path.name for path in folder.iterdir()
    }
    merge = model_rows.model("finance-chat")
    assert merge is not None
    assert (merge.source, merge.role, merge.method) == (
        str(folder), "merge", "instruction_residual")  # fmt: skip
    assert [(one.name, one.role) for one in merge.parents] == [
        ("sandbox/base", "base"), ("sandbox/finance", "expert"), ("sandbox/instruct", "instruct"),
    ]  # fmt: skip
    assert merge.fingerprint is not None and merge.has_chat_template

    tasks = load_suite("sandbox").tasks
    made = board("sandbox", {task: "" for task in tasks})
    assert [len(one.scores) for one in made.rows] == [len(tasks)] * 4
    merged_row = next(one for one in made.rows if one.entry.name == "finance-chat")
    best = made.best_parent(merged_row)
    assert best is not None and best.entry.name.startswith("sandbox/")
    assert count(Answer) == 4 * len(tasks) * LIMIT
    assert count(Prompt) < count(Answer)  # stored once for all models

    n_jobs, n_scores = len(job_rows.recent()), count(Evaluation)
    again = finished(api.merge_and_benchmark(quickstart.RECIPE, suite="sandbox", limit=LIMIT))
    assert len(job_rows.recent()) == n_jobs + 5
    assert [one.attempt for one in again] == [0] * 5  # nothing had to run
    assert again[0].stage == "Already merged: “finance-chat” is used again"
    assert {one.stage for one in again[1:]} == {"Already scored"}
    assert count(Evaluation) == n_scores

    # Its folder is there, and that is no obstacle: it would not be written again.
    assert registry.compatibility(quickstart.RECIPE, name="finance-chat").ok

    threads = api.submit("count", {"threads": 2}, title="Threads after the fork")
    expected = 2000.0 * 2000 * 10 + 4_000_000
    result = wait_state(threads, "done", "failed", seconds=200).result
    assert result is not None and result["sum"] == pytest.approx(expected, rel=1e-3)


def test_a_recipe_is_scored_in_memory_and_a_missing_hub_model_is_told(
    warm_home: Path, start_worker: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    start_worker()
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(quickstart.RECIPE)
    task = load_suite("sandbox").tasks[0]
    group = api.benchmark([str(recipe)], "sandbox", limit=LIMIT, tasks=[task])
    hub = api.benchmark(["nobody/nothing"], "sandbox", limit=LIMIT)
    assert finished(group)[0].result == {
        "model": "finance-chat", "model_id": 6, "n_scored": 1, "n_reused": 0, "n_failed": 0,
        "groups": {},
    }  # fmt: skip
    found = model_rows.model("finance-chat")
    assert found is not None
    assert (found.source, found.fingerprint) == ("", found.recipe_hash)
    assert len(found.parents) == 3
    assert not (warm_home / "models").exists() or not any((warm_home / "models").iterdir())
    failed = wait_state(job_rows.group(hub)[0].id, "failed", seconds=200)
    assert failed.error is not None and "nobody/nothing" in failed.error
    assert model_rows.model("nobody/nothing") is None  # it is not left in the lists
    api.retry(failed.id)
    wait_state(failed.id, "failed", seconds=200)


def test_a_merge_killed_before_it_could_say_so_is_taken_as_it_is(
    warm_home: Path, start_worker: Callable[..., subprocess.Popen[str]]
) -> None:
    group = api.merge_and_benchmark(quickstart.RECIPE)
    (merge,) = job_rows.group(group)
    from jobs.kinds.merge import run
    from jobs.running import prepare
    from jobs.running.queue import Claim

    claim = Claim(merge.id, 1, "merge", merge.title, merge.spec)
    folder = Path(next(event["out"] for event in run(prepare.complete(claim)) if "out" in event))
    written = (folder / "model.safetensors").stat().st_mtime_ns
    start_worker()
    finished(group)
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    assert model_rows.model("finance-chat") is not None
    assert row(merge.id).result["out"] == str(folder)  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (("method: instruction_residual", "method: instruct_residual"), RecipeError, "Did you"),
        (("alpha: 1.0", "alpha: no"), RecipeError, "alpha"),
        (("sandbox/finance", "sandbox/finances"), JobError, "Did you mean sandbox/finance"),
        (("sandbox/finance", "/no/such/folder"), JobError, "/no/such/folder"),
    ],
)
def test_wrong_recipes_are_refused_at_once(
    warm_home: Path, change: tuple[str, str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        api.merge_and_benchmark(quickstart.RECIPE.replace(*change), suite="sandbox")
    assert caught.value.exit_code == 2  # type: ignore[attr-defined]
    assert job_rows.recent() == []


def test_names_are_checked_and_never_taken_twice(warm_home: Path) -> None:
    for name in ("../../etc/passwd", "/abs", "a\nb", "", "x" * 101, "..", "a/b", "\u202egpj"):
        with pytest.raises(JobError) as caught:
            api.merge_and_benchmark(quickstart.RECIPE, name=name)
        assert "\n" not in str(caught.value)
    api.merge_and_benchmark(quickstart.RECIPE, name="金融チャット 1")
    with pytest.raises(JobError, match="already. Choose another name, such as “金融チャット-1-2”"):
        other = quickstart.RECIPE.replace("alpha: 1.0", "alpha: 0.5")
        api.merge_and_benchmark(other, name="金融チャット 1")
    (warm_home / "models" / "finance-chat").mkdir(parents=True)
    api.merge_and_benchmark(other)
    assert job_rows.recent(1)[0].title == "Merge finance-chat-2"


def test_will_it_fit_looks_at_the_folder_that_would_be_made(warm_home: Path) -> None:
    assert registry.compatibility(quickstart.RECIPE).ok
    (warm_home / "models" / "finance-chat").mkdir(parents=True)
    assert registry.compatibility(quickstart.RECIPE).ok  # it would be finance-chat-2
    taken = registry.compatibility(quickstart.RECIPE, name="finance-chat")
    assert [check.title for check in taken.checks if check.state == "bad"] == ["Output"]
    with pytest.raises(JobError, match="not a path"):
        registry.compatibility(quickstart.RECIPE, name="../x")


def test_a_broken_parent_is_refused_at_once(warm_home: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    text = quickstart.RECIPE.replace("sandbox/finance", str(tmp_path / "empty"))
    with pytest.raises(ModelError, match="no weights"):
        api.merge_and_benchmark(text)
    assert model_rows.model("empty") is None


def test_what_counts_as_scored_agrees_with_the_scorer() -> None:
    assert scoring_dtype(registry.SANDBOX / "base", device="cpu") == scored.CPU_DTYPE
