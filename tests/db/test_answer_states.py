"""Answers of older databases get their states, by the rule of the program."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select, text

from db import schema_1, schema_2
from db.engine import close_databases, session
from db.tables import Answer, Evaluation
from evaluation.answer_states import shares, state_of
from tests.evaluation.test_answer_states import AWKWARD, answer

pytestmark = pytest.mark.sqlite

EVALUATION = text(
    "INSERT INTO evaluations (id, model_id, model_fingerprint, suite, task, domain, "
    "task_version, metric, value, n, config, config_hash, prompts_hash, seconds, created) "
    "VALUES (:id, 1, 'f', 's', :task, 'd', '1', 'acc', 0.5, 2, '{}', 'c', 'p', 1.0, 1.0)"
)
ANSWER = text(
    "INSERT INTO answers (evaluation_id, doc_id, doc_hash, prompt_hash, target, output, extracted, "
    "choices, score, correct, stopped) VALUES (:evaluation, :doc, 'd', 'p', 't', :output, "
    ":extracted, :choices, 0.0, :correct, :stopped)"
)


@pytest.fixture
def old(home: Path) -> Iterator[None]:
    """A database of format 2: task 0 has every awkward answer, task 1 compared choices only."""
    engine = create_engine(f"sqlite:///{home / 'crucible.db'}")
    with engine.begin() as connection:
        schema_1.create(connection)
        schema_2.upgrade(connection)
        connection.execute(text("PRAGMA user_version = 2"))
        connection.execute(text(
            "INSERT INTO models (id, name, source, role, note, archived, created) "
            "VALUES (1, 'old', '/x', 'merge', '', 0, 1.0)"
        ))  # fmt: skip
        connection.execute(text("INSERT INTO prompts VALUES ('p', 'Question?')"))
        for number in range(3):
            connection.execute(EVALUATION, {"id": number, "task": f"t{number}"})
        rows = [answer(**values) for values, _ in AWKWARD]
        for doc, row in enumerate(rows):
            for number in {0, 1} if row["choices"] else {0}:
                connection.execute(ANSWER, {
                    "evaluation": number, "doc": doc, **row, "choices": json.dumps(row["choices"])
                })  # fmt: skip
    engine.dispose()
    yield
    close_databases()


def test_old_answers_get_their_states(old: None) -> None:
    with session() as opened:
        query = select(Answer.state).where(Answer.evaluation_id == 0).order_by(Answer.doc_id)
        assert list(opened.scalars(query)) == [expected for _, expected in AWKWARD]


def test_old_scores_get_their_shares(old: None) -> None:
    rows = [answer(**values) for values, _ in AWKWARD]
    expected = shares([{**row, "state": state_of(row)} for row in rows])
    with session() as opened:
        found = [opened.get_one(Evaluation, number) for number in range(3)]
        assert (found[0].missing, found[0].truncated) == pytest.approx(expected)
        assert (found[1].missing, found[1].truncated) == (None, None)  # nothing was written
        assert (found[2].missing, found[2].truncated) == (None, None)  # its answers were not kept
