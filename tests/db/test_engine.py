"""Opening the database: safe settings, and plain sentences when it cannot be."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text

from db import settings, sqlite
from db.engine import close_databases, open_database, session, transaction
from db.errors import DatabaseError
from db.tables import Model, Setting


@pytest.fixture(autouse=True)
def fresh(home: Path) -> Iterator[None]:
    yield
    close_databases()


def add(name: str) -> None:
    with transaction() as opened:
        opened.add(Model(name=name, source="/x", role="base"))


@pytest.mark.sqlite
def test_the_database_lies_in_the_home_and_has_safe_settings(home: Path) -> None:
    with session() as opened:
        found = {
            name: opened.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    expected = {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 30000, "foreign_keys": 1}
    assert found == expected
    assert (home / "crucible.db").is_file()


@pytest.mark.sqlite
def test_a_relative_home_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRUCIBLE_HOME", "here")
    assert settings.home() == tmp_path / "here"
    assert (tmp_path / "here").is_dir()
    monkeypatch.setenv("CRUCIBLE_DATABASE_URL", "sqlite:///beside.db")
    assert settings.database_url() == f"sqlite:///{tmp_path / 'beside.db'}"


def test_a_failed_transaction_leaves_nothing(home: Path) -> None:
    with pytest.raises(RuntimeError), transaction() as opened:
        opened.add(Model(name="half", source="/x", role="base"))
        opened.flush()
        raise RuntimeError
    with session() as opened:
        assert opened.scalars(select(Model)).all() == []


def test_readers_do_not_wait_for_a_writer_nor_see_what_is_unfinished(home: Path) -> None:
    add("a")
    with transaction() as writer:
        writer.add(Model(name="b", source="/x", role="base"))
        writer.flush()
        with session() as reader:
            assert reader.scalars(select(Model.name)).all() == ["a"]
    with session() as reader:
        assert reader.scalars(select(Model.name)).all() == ["a", "b"]


def test_writers_that_read_first_take_turns(home: Path) -> None:
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


def test_rows_stay_usable_after_the_session(home: Path) -> None:
    with transaction() as opened:
        row = Setting(key="a", value={"b": 1})
        opened.add(row)
    assert row.value == {"b": 1}


@pytest.mark.sqlite
def test_a_locked_database_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 100)
    add("a")
    other = sqlite3.connect(home / "crucible.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DatabaseError, match="is locked by another program") as caught:
        add("b")
    other.close()
    assert (caught.value.exit_code, caught.value.transient) == (1, True)
    add("b")  # and works when that program is gone


@pytest.mark.sqlite
@pytest.mark.parametrize("content", [b"this is not a database, it is text" * 100, b"\x00" * 4096])
def test_a_file_that_is_no_database_is_told_and_kept(home: Path, content: bytes) -> None:
    path = home / "crucible.db"
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match="is not a database, or is damaged") as caught:
        open_database()
    assert caught.value.exit_code == 2
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


@pytest.mark.sqlite
def test_a_home_that_cannot_be_made_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CRUCIBLE_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(DatabaseError, match="cannot be created") as caught:
        open_database()
    assert caught.value.exit_code == 1


def test_a_database_in_no_folder_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRUCIBLE_DATABASE_URL", f"sqlite:///{home}/none/x.db")
    with pytest.raises(DatabaseError, match="cannot be written"):
        open_database()


@pytest.mark.parametrize("url", ["nonsense", "oracle9i://x/y", "sqlite+nodriver:///x"])
def test_a_url_that_names_no_database_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("CRUCIBLE_DATABASE_URL", url)
    with pytest.raises(DatabaseError, match="CRUCIBLE_DATABASE_URL") as caught:
        open_database()
    assert caught.value.exit_code == 2


def test_a_password_is_never_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRUCIBLE_DATABASE_URL", "nonsense://me:secret@host/db")
    with pytest.raises(DatabaseError) as caught:
        open_database()
    assert "secret" not in str(caught.value)
