"""Signs of failure from real models to warnings: a broken merge shows them, a good one does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from db.engine import session, transaction
from db.queries.board import Board, Row
from db.queries.leaderboard import board
from db.queries.signatures import kept
from db.tables import Evaluation, Job, Model, Parent
from evaluation.run import evaluate
from evaluation.suites import load_suite
from jobs.running import identity, queue
from jobs.running.record import Recorder
from jobs.scores import comparison, signs
from merging.in_memory import merge_to_model
from merging.recipes.recipe import Recipe

PROJECT = Path(__file__).resolve().parents[2]
TASKS = [
    "sandbox_general_people",
    "sandbox_general_capitals",
    "sandbox_finance_recall",
    "sandbox_chat_general",
    "sandbox_chat_japanese",
]
LIMIT = 25
RECIPE = """
name: {name}
method: task_arithmetic
base: sandbox/base
models:
  - {{model: sandbox/finance, role: expert}}
  - {{model: sandbox/instruct, role: instruct}}
options: {{scale: {scale}}}
"""


@pytest.fixture(scope="module")
def scores() -> dict[str, list[dict[str, Any]]]:
    """Score events of the parents, of a merge within reason, and of one at four times that."""
    suite = load_suite("sandbox")
    folders = {f"sandbox/{n}": PROJECT / "sandbox" / n for n in ("base", "finance", "instruct")}
    same = "name: {0}\nmethod: linear\nmodels: [{{model: sandbox/{0}}}]\n"
    recipes = {
        **{f"sandbox/{n}": same.format(n) for n in ("base", "finance", "instruct")},
        "good": RECIPE.format(name="good", scale=0.5),
        "broken": RECIPE.format(name="broken", scale=4.0),
    }
    found = {}
    for name, text in recipes.items():
        model, tokenizer = _result(merge_to_model(Recipe.from_yaml(text), folders, device="cpu"))
        events = evaluate(model.float(), tokenizer, suite, tasks=TASKS, limit=LIMIT)
        found[name] = [event for event in events if event["kind"] == "score"]
        assert len(found[name]) == len(TASKS)
    return found


def _result(generator: Any) -> Any:
    while True:
        try:
            next(generator)
        except StopIteration as stop:
            return stop.value


@pytest.fixture
def filled(home: Path, scores: dict[str, list[dict[str, Any]]]) -> Iterator[Board]:
    """All of it in a database, recorded as a worker records it."""
    comparison.forget()
    signs.forget()
    with transaction() as s:
        for i, name in enumerate(scores, start=1):
            role = {"sandbox/base": "base", "sandbox/finance": "expert",
                    "sandbox/instruct": "instruct"}.get(name, "merge")  # fmt: skip
            domain = "finance" if role == "expert" else None
            s.add(Model(id=i, name=name, source=f"/{name}", role=role, domain=domain))
        s.flush()
        for child in (4, 5):
            for place, parent in enumerate((1, 2, 3)):
                s.add(Parent(child_id=child, position=place, parent_id=parent, role="expert"))
    for i, events in enumerate(scores.values(), start=1):
        with transaction() as s:
            spec = {"suite_name": "sandbox"}
            queue.add(s, Job(kind="evaluate", title="Score", spec=spec), ())
        claim = queue.claim(identity.worker_id(), "cpu")
        assert claim is not None
        recorder = Recorder(claim)
        recorder.handle({"kind": "model", "model_id": i, "fingerprint": "f" * 64})
        for event in events:
            recorder.handle(event)
    suite = load_suite("sandbox")
    yield board("sandbox", {task: suite.domain(task) for task in suite.tasks})


def row_of(made: Board, name: str) -> Row:
    return next(row for row in made.rows if row.entry.name == name)


def test_a_broken_merge_shows_signs_and_a_good_one_none(filled: Board) -> None:
    told = {one.kind: one for one in signs.of_row(filled, row_of(filled, "broken"))}
    assert {"general", "repetition", "empty"} <= set(told)
    assert all(one.own and one.rule.startswith("Rule of thumb: ") for one in told.values())
    assert told["repetition"].verdict == "new"
    assert "No parent shows it" in told["repetition"].text
    assert told["repetition"].items
    assert "points against sandbox/" in told["general"].text
    assert [one for one in signs.of_row(filled, row_of(filled, "good")) if one.own] == []


def test_items_lead_to_the_replies_that_show_it(filled: Board) -> None:
    row = row_of(filled, "broken")
    told = {one.kind: one for one in signs.of_row(filled, row)}
    from db.queries.signatures import outputs

    task, items = next(iter(told["empty"].items.items()))
    assert {text.strip() for text in outputs(row.scores[task].evaluation_id, items).values()} == {
        ""
    }
    lost = told["general"].items
    assert set(lost) <= {"sandbox_general_people", "sandbox_general_capitals"}


def test_parents_are_not_warned_of_but_named(filled: Board) -> None:
    assert signs.of_row(filled, row_of(filled, "sandbox/finance")) == []
    # As if the finance expert did what the broken merge does, item by item.
    with transaction() as s:
        for score in row_of(filled, "broken").scores.values():
            data = kept([score.evaluation_id])[score.evaluation_id]
            theirs = row_of(filled, "sandbox/finance").scores[score.task].evaluation_id
            s.execute(update(Evaluation).where(Evaluation.id == theirs).values(signatures=data))
    signs.forget()
    told = {one.kind: one for one in signs.of_row(filled, row_of(filled, "broken"))}
    assert told["repetition"].verdict == "inherited"
    assert not told["repetition"].own
    assert "sandbox/finance shows it too" in told["repetition"].text


def test_what_was_scored_before_is_looked_at_on_reading(filled: Board) -> None:
    broken = row_of(filled, "broken")
    before = signs.of_row(filled, broken)
    with transaction() as s:
        s.execute(update(Evaluation).values(signatures=None))
    signs.forget()
    cheap = signs.of_rows(filled, [broken])[broken.key]
    assert {one.kind for one in cheap} == {"general"}  # what needs no reading of replies
    assert signs.of_row(filled, broken) == before
    with session() as s:
        late = s.scalars(select(Evaluation).where(Evaluation.model_id == broken.entry.id)).all()
        assert all(one.signatures and one.signatures["version"] == 1 for one in late)
