"""A database of every format that ever was opens with its rows, wherever the opening is killed."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from db import migrations, settings, sqlite
from db.engine import close_databases, open_database, session
from db.errors import DatabaseError
from db.tables import Base
from tests.db.old_databases import contents, kept, make
from tests.postgres_server import Server

pytestmark = pytest.mark.sqlite
FORMATS = range(1, migrations.newest() + 1)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(
    request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """An empty database of either kind, which the settings name."""
    if request.param == "sqlite":
        yield settings.database_url()
        close_databases()
        return
    server: Server = request.getfixturevalue("postgres_server")
    made = server.create()
    monkeypatch.setenv("CRUCIBLE_DATABASE_URL", made)
    yield made
    close_databases()
    server.drop(made)


def in_a_process(work: Callable[[], Any]) -> int:
    """Do something in a copy of this process; its exit code, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die_at(statement: int) -> None:
    """Open the database, and be killed right after the n-th statement."""
    count = iter(range(1, 10_000))

    def look(*_: Any) -> None:
        if next(count) == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "after_cursor_execute", look)
    open_database()


def version_of(url: str) -> int:
    from sqlalchemy import create_engine

    engine = create_engine(url)
    with engine.connect() as connection:
        found = migrations.version(connection)
    engine.dispose()
    return found


@pytest.mark.parametrize("number", FORMATS)
def test_every_format_opens_with_its_rows(url: str, number: int) -> None:
    before = make(url, number)
    assert all(len(rows) == 2 for rows in before.values())
    open_database()
    close_databases()
    assert version_of(url) == migrations.newest()
    after = contents(url)
    assert kept(before, after)
    assert set(Base.metadata.tables) <= set(after)
    with session() as opened:  # and today's declarations read them
        for mapper in Base.registry.mappers:
            assert opened.query(mapper).count() == len(after[str(mapper.local_table)])


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.long)])
def test_killed_at_any_statement_it_stays_old_or_is_new(url: str, every: int) -> None:
    before = make(url, 1)
    statement, codes = 0, []
    step = every if url.startswith("sqlite") else 5 * every
    while not codes or codes[-1] != 0:
        statement += step
        codes.append(in_a_process(partial(die_at, statement)))
        assert codes[-1] in (0, -signal.SIGKILL)
        found = version_of(url)
        assert found == (migrations.newest() if codes[-1] == 0 else 1), statement
        assert kept(before, contents(url)), statement
    assert len(codes) >= 20 / step  # it was really killed, many times


def test_programs_that_start_together_migrate_once(url: str, home: Path) -> None:
    before = make(url, 2)
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                open_database()
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes == [0, 0, 0, 0]
    assert kept(before, contents(url))
    assert len(list(home.glob("crucible-v2-*.db"))) == (1 if url.startswith("sqlite") else 0)


def test_a_newer_format_is_refused(url: str) -> None:
    make(url, migrations.newest())
    from sqlalchemy import create_engine

    engine = create_engine(url)
    with engine.begin() as connection:
        migrations._stamp(connection, migrations.newest() + 1)
    engine.dispose()
    with pytest.raises(DatabaseError, match="written by a newer version of Crucible") as caught:
        open_database()
    assert caught.value.exit_code == 2


def test_tables_of_others_stay_as_they_are(url: str) -> None:
    """Optuna keeps its trials in the same database."""
    make(url, 4)
    from sqlalchemy import create_engine, text

    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE trials (trial_id INTEGER PRIMARY KEY, x FLOAT)"))
        connection.execute(text("INSERT INTO trials VALUES (7, 0.5)"))
    engine.dispose()
    open_database()
    assert contents(url)["trials"] == [{"trial_id": 7, "x": 0.5}]


def test_another_programs_database_is_refused_and_left_alone(url: str) -> None:
    from sqlalchemy import create_engine, text

    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE jobs (name TEXT PRIMARY KEY)"))
    engine.dispose()
    with pytest.raises(DatabaseError, match=r"holds tables of another program \(jobs\)") as caught:
        open_database()
    assert caught.value.exit_code == 2
    assert contents(url) == {"jobs": []}


def test_a_copy_that_was_killed_is_done_again(home: Path) -> None:
    url = settings.database_url()
    before = make(url, 3)

    def killed(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        Path.rename = killed  # type: ignore[assignment,method-assign]
        open_database()

    assert in_a_process(work) == -signal.SIGKILL
    assert [path.suffix for path in home.glob(".crucible-v3*")] == [".partial"]
    open_database()
    (copy,) = home.glob("crucible-v3-*.db")
    assert list(home.glob(".crucible*")) == []
    assert contents(f"sqlite:///{copy}") == before
    close_databases()


def test_only_the_newest_copies_stay(home: Path) -> None:
    for number in (1, 2, 3, 4, 5):
        for end in ("", "-wal", "-shm"):
            (home / f"crucible.db{end}").unlink(missing_ok=True)
        make(settings.database_url(), number)
        open_database()
        close_databases()
    left = [path.name.split("-")[1] for path in sqlite.backups(home / "crucible.db")]
    assert left == ["v3", "v4", "v5"]


def test_no_room_for_the_copy_is_told_and_nothing_changes(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = make(settings.database_url(), 3)
    usage = type("Usage", (), {"free": 10_000})
    monkeypatch.setattr(sqlite.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DatabaseError, match="copied before it is changed.*Free some space"):
        open_database()
    assert contents(settings.database_url()) == before
    with sqlite3.connect(home / "crucible.db") as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (3,)
    raw.close()
