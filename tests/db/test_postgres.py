"""PostgreSQL keeps what SQLite promises: equal values, turns of writers, one state for readers."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from db import postgres
from db.engine import close_databases, open_database, session, transaction
from db.errors import DatabaseError
from db.packed import pack_floats, unpack_floats
from db.queries import jobs as job_rows
from db.queries import models as model_rows
from db.queries.leaderboard import board
from db.tables import Base, ItemList, Job, Model, Setting
from jobs.running import api, queue
from tests import small_scores
from tests.db.test_migrations import shape

PROJECT = Path(__file__).resolve().parents[2]
AWKWARD = "it's \\ 100 % :x %(y)s \u0000 日本 🙂 \u2028 end"


@pytest.fixture(autouse=True)
def there(postgres_database: str, home: Path) -> Iterator[str]:
    yield postgres_database


def add(name: str, **values: Any) -> int:
    with transaction() as opened:
        row = Model(name=name, source="/x", role="base", **values)
        opened.add(row)
        opened.flush()
        return row.id


def test_the_tables_are_what_the_declarations_say(postgres_server: Any) -> None:
    """Made by the migrations or by the declarations; but text is as long as it is, as in SQLite."""
    from sqlalchemy import create_engine

    url = postgres_server.create()
    declared = create_engine(url)
    try:
        Base.metadata.create_all(declared)
        expected, found = shape(declared), shape(open_database())
    finally:
        declared.dispose()
        postgres_server.drop(url)
    del found["schema_version"]
    for table in expected.values():
        table["columns"] = {
            name: ("VARCHAR" if kind.startswith("VARCHAR") else kind, *rest)
            for name, (kind, *rest) in table["columns"].items()
        }
        table["indexes"] = sorted(table["indexes"])
    for table in found.values():
        table["columns"] = {name: tuple(rest) for name, rest in table["columns"].items()}
    assert found == expected


def test_whatever_is_written_comes_back() -> None:
    value: dict[str, Any] = {
        "text": AWKWARD, "lone": "\ud800", "pair": "🙂", "back": "\\u0000 \\\\",
        "inf": [math.inf, -math.inf], "nan": math.nan, "says": "NaN and Infinity",
        "none": None, "big": 2**70, "tiny": 5e-324,
    }  # fmt: skip
    with transaction() as opened:
        opened.add(Setting(key="k", value=value))
        opened.add(ItemList(hash="h", items=pack_floats([math.nan, math.inf, 0.1])))
        opened.add(Model(name=AWKWARD * 20, source="/x", role="base", note=AWKWARD))
    seen = AWKWARD.replace("\0", "\ufffd")
    with session() as opened:
        found = opened.get_one(Setting, "k").value
        assert found == {**value, "nan": None, "text": seen, "lone": "\ufffd"}
        numbers = unpack_floats(opened.get_one(ItemList, "h").items)
        assert math.isnan(numbers[0]) and numbers[1] == math.inf
        row = opened.scalars(select(Model)).one()
        assert (row.name, row.note) == (seen * 20, seen)  # longer than the column is declared


def test_writers_that_read_first_take_turns() -> None:
    add("counter")

    def raise_it() -> None:
        for _ in range(20):
            with transaction() as opened:
                row = opened.scalars(select(Model)).one()
                row.size_bytes = (row.size_bytes or 0) + 1

    threads = [threading.Thread(target=raise_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with session() as opened:
        assert opened.scalars(select(Model.size_bytes)).one() == 80


def test_readers_see_one_state_and_nothing_unfinished() -> None:
    add("a")
    with session() as reader:
        assert list(reader.scalars(select(Model.name))) == ["a"]
        with transaction() as writer:
            writer.add(Model(name="b", source="/x", role="base"))
            writer.flush()
            with session() as another:
                assert list(another.scalars(select(Model.name))) == ["a"]
        assert list(reader.scalars(select(Model.name))) == ["a"]
    with session() as reader:
        assert list(reader.scalars(select(Model.name))) == ["a", "b"]


def test_a_failed_statement_leaves_nothing_and_the_next_one_works() -> None:
    add("a")
    with pytest.raises(DatabaseError, match="refused: duplicate key"), transaction() as opened:
        opened.add(Model(name="b", source="/x", role="base"))
        opened.flush()
        opened.add(Model(name="a", source="/x", role="base"))
    assert add("c") > 0
    with session() as opened:
        assert list(opened.scalars(select(Model.name).order_by(Model.id))) == ["a", "c"]


def test_a_lock_that_is_not_let_go_is_told(monkeypatch: pytest.MonkeyPatch, there: str) -> None:
    close_databases()
    monkeypatch.setattr(postgres, "LOCK_TIMEOUT_MS", 200)
    add("a")
    with open_database().connect() as other:
        other.execute(text(f"SELECT pg_advisory_xact_lock({postgres.WRITERS_LOCK})"))
        with pytest.raises(DatabaseError, match="is locked by another program") as caught:
            add("b")
    assert (caught.value.exit_code, caught.value.transient) == (1, True)
    add("b")
    close_databases()


CLAIMER = (
    "import os\nfrom jobs.running import queue\n"
    "while (c := queue.claim(f'w{os.getpid()}', 'cpu')) is not None:\n"
    "    queue.finish(c, 'done'); print(c.job_id)"
)


def test_many_workers_take_every_job_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRUCIBLE_JOB_KINDS", "count=tests.jobs.fake_kinds")
    for number in range(60):
        api.submit("count", {"n": number, "narrow": number % 2 == 0}, title=f"{number}")
    claimers = [
        subprocess.Popen([sys.executable, "-c", CLAIMER], cwd=PROJECT, stdout=subprocess.PIPE,
                         text=True)
        for _ in range(3)
    ]  # fmt: skip
    taken = [int(line) for claimer in claimers for line in claimer.communicate()[0].split()]
    assert all(claimer.returncode == 0 for claimer in claimers)
    assert sorted(taken) == sorted(set(taken)) and len(taken) == 60
    assert job_rows.counts().done == 60


def test_a_strange_spec_blocks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a job's JSON says is asked by the database itself when jobs are claimed."""
    monkeypatch.setenv("CRUCIBLE_JOB_KINDS", "count=tests.jobs.fake_kinds")
    for spec in ({"x": "\0"}, {"x": "\ud800"}, {"x": "\\u0000"}, {"narrow": None}, {}):
        api.submit("count", spec, title="strange")
    wanted = api.submit("count", {"narrow": True}, title="plain")
    claimed = queue.claim("w", "cpu", narrow=True)
    assert claimed is not None and claimed.job_id == wanted


def test_titles_are_found_whatever_their_case() -> None:
    with transaction() as opened:
        opened.add(Job(kind="merge", title="Merge ÄRGER 100 %", spec={}))
        opened.add(Job(kind="merge", title="Merge 1000", spec={}))
    assert [row.title for row in job_rows.recent(search="ärger")] == ["Merge ÄRGER 100 %"]
    assert [row.title for row in job_rows.recent(search="100 %")] == ["Merge ÄRGER 100 %"]


@pytest.mark.parametrize("number", [2**31, 2**63, 2**70, -1])
def test_a_number_that_no_row_can_have_finds_none(number: int) -> None:
    """Addresses and commands name rows by number."""
    assert job_rows.job(number) is None
    assert model_rows.model(number) is None


def test_the_board_is_the_same() -> None:
    small_scores.fill()
    shown = board(small_scores.SUITE)
    assert {row.entry.name: row.macro for row in shown.rows} == {
        "m": 0.625, "b": 0.375, "base": 0.25, "a": 0.25, "d": 0.0,
    }  # fmt: skip
