"""A server that is not there, refuses, or goes away in the middle: one sentence, nothing lost."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select, text

from db.engine import open_database, session, transaction
from db.errors import DatabaseError
from db.tables import Model
from tests.postgres_server import Server, database_of

PROJECT = Path(__file__).resolve().parents[2]
SECRET = "sesame-s3cret"


def refused(url: str, monkeypatch: pytest.MonkeyPatch) -> DatabaseError:
    """What opening a URL says: one sentence or two, never with the password."""
    monkeypatch.setenv("CRUCIBLE_DATABASE_URL", url)
    with pytest.raises(DatabaseError) as caught:
        open_database()
    said = str(caught.value)
    assert "\n" not in said and len(re.findall(r"[.?!](?: |$)", said)) <= 2, said
    assert SECRET not in said and SECRET not in repr(caught.value.__cause__)
    return caught.value


def test_a_wrong_password_or_user_or_name(
    home: Path, postgres_server: Server, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres_server.sql("DROP ROLE IF EXISTS guarded")
    postgres_server.sql("CREATE ROLE guarded LOGIN SUPERUSER PASSWORD 'right'")
    name = database_of(postgres_database)
    for url, reason in (
        (postgres_server.url(name, "guarded", SECRET), "password authentication failed"),
        (postgres_server.url(name, "guarded"), "no password supplied"),
        (postgres_server.url(name, "nobody_here", SECRET), "does not exist"),
        (postgres_server.url("no_such", "crucible", SECRET), '"no_such" does not exist'),
    ):
        error = refused(url, monkeypatch)
        assert reason in str(error) and "CRUCIBLE_DATABASE_URL" in str(error)
        assert (error.exit_code, error.transient) == (2, False)
    monkeypatch.setenv("CRUCIBLE_DATABASE_URL", postgres_server.url(name, "guarded", "right"))
    with session() as opened:
        assert opened.scalar(text("SELECT current_user")) == "guarded"


@pytest.mark.parametrize(
    ("url", "reason", "code"),
    [
        (f"postgresql://me:{SECRET}@127.0.0.1:1/x", "does not answer.*refused", 1),
        (f"postgres://me:{SECRET}@127.0.0.1:1/x", "does not answer.*refused", 1),
        (f"postgresql://me:{SECRET}@/x?host=/no/such/folder", "does not answer", 1),
        (f"postgresql://me:{SECRET}@no-such-host.invalid/x", "lets nobody in", 2),
        (f"postgresql://me:{SECRET}@127.0.0.1:port/x", "cannot be read.*%40", 2),
        (f"postgresql://me:a/@{SECRET}@127.0.0.1:1/x", "cannot be read.*%40", 2),
        (f"postgresql://me:a@b/{SECRET}@127.0.0.1:1/x", "cannot be read.*%40", 2),
        (f"postgresql://me:a:{SECRET}@127.0.0.1:99999/x", "CRUCIBLE_DATABASE_URL|answer", 2),
        (f"postgresql://me@127.0.0.1:1/x?password={SECRET}", "does not answer", 1),
        (f"postgresql://me@127.0.0.1/x?no_such_option={SECRET}", "CRUCIBLE_DATABASE_URL", 2),
        (f"mysql://me:{SECRET}@127.0.0.1/x", "mysql is neither sqlite nor postgresql", 2),
        (f"postgresql+asyncpg://me:{SECRET}@127.0.0.1/x", "no driver postgresql.asyncpg", 2),
    ],
)
def test_a_url_that_leads_nowhere(
    home: Path, monkeypatch: pytest.MonkeyPatch, url: str, reason: str, code: int
) -> None:
    error = refused(url, monkeypatch)
    assert re.search(reason, str(error)), error
    assert error.exit_code == code


def test_without_the_driver_it_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    error = refused(f"postgresql://me:{SECRET}@127.0.0.1:1/x", monkeypatch)
    assert "psycopg, which is not installed" in str(error)
    assert "requirements-extra.txt" in str(error)


def test_a_command_says_it_in_one_line(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "cli.py", "models"], cwd=PROJECT, capture_output=True, text=True,
        env={**os.environ, "CRUCIBLE_DATABASE_URL": f"postgresql://me:{SECRET}@127.0.0.1:1/x"},
    )  # fmt: skip
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1 and "does not answer" in done.stderr
    everything = done.stdout + done.stderr
    everything += "".join(p.read_text() for p in (home / "logs").glob("*") if p.is_file())
    assert SECRET not in everything


def test_a_server_that_was_restarted_is_used_again(
    home: Path, postgres_server: Server, postgres_database: str
) -> None:
    with transaction() as opened:
        opened.add(Model(name="a", source="/x", role="base"))
    for how in (signal.SIGINT, signal.SIGQUIT):  # shut down, and crashed
        with pytest.raises(DatabaseError, match="does not answer") as caught, transaction() as o:
            o.add(Model(name="half", source="/x", role="base"))
            o.flush()
            postgres_server.stop(how)
        assert caught.value.transient
        with pytest.raises(DatabaseError, match="does not answer"), session() as reader:
            reader.scalars(select(Model)).all()
        postgres_server.start()
        with session() as reader:
            assert list(reader.scalars(select(Model.name))) == ["a"]


def test_connections_that_were_ended_are_replaced(
    home: Path, postgres_server: Server, postgres_database: str
) -> None:
    with session() as opened:
        opened.connection()
    name = database_of(postgres_database)
    postgres_server.sql(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )
    with transaction() as opened:
        opened.add(Model(name="a", source="/x", role="base"))
