"""Opening the database, and the two kinds of transaction.

`session()` reads: it sees one consistent state and never waits for a writer. `transaction()`
writes: it takes the write lock at its start, so that what it reads is still true when it writes,
and commits at its end.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session

from db import migrations, settings
from db.errors import DatabaseError

BUSY_TIMEOUT_MS = 30_000  # how long a connection waits for another's write lock

_engines: dict[str, Engine] = {}
_opening = threading.Lock()


def open_database(url: str | None = None) -> Engine:
    """The engine for a URL (default: the settings'), opened, checked and migrated once.

    Raises:
        DatabaseError: not a database, from a newer version, locked, or not writable.
    """
    url = url or settings.database_url()
    with _opening:
        engine = _engines.get(url)
        if engine is None:
            engine = _create(url)
            with _plain_errors(url):
                migrations.migrate(engine)
            _engines[url] = engine
        return engine


def close_databases() -> None:
    """Close every engine of this process; the next `open_database` opens anew."""
    with _opening:
        for engine in _engines.values():
            engine.dispose()
        _engines.clear()


@contextmanager
def session(url: str | None = None) -> Iterator[Session]:
    """A session for reading. What it loads stays usable after it is closed.

    Raises:
        DatabaseError: the database cannot be opened or read.
    """
    engine = open_database(url)
    with _plain_errors(str(engine.url)), Session(engine, expire_on_commit=False) as opened:
        yield opened


@contextmanager
def transaction(url: str | None = None) -> Iterator[Session]:
    """A session for writing: it holds the write lock, commits at the end, undoes on an error.

    Raises:
        DatabaseError: the database cannot be opened or written.
    """
    engine = open_database(url).execution_options(crucible_writes=True)
    with (
        _plain_errors(str(engine.url)),
        Session(engine, expire_on_commit=False) as opened,
        opened.begin(),
    ):
        yield opened


def _create(url: str) -> Engine:
    try:
        if make_url(url).get_backend_name() != "sqlite":
            return create_engine(url, pool_pre_ping=True)
        engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise DatabaseError(
            f"CRUCIBLE_DATABASE_URL is not a database that can be opened here ({error}). Give a "
            "URL such as sqlite:////path/to/crucible.db.",
            exit_code=2,
        ) from error
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, see _begin_sqlite
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once, without waiting, when another
    # one wrote in between. Writers therefore take the write lock before they read.
    writes = connection.get_execution_options().get("crucible_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _plain_errors(url: str) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise _translate(url, error) from error
    except sqlite3.Error as error:
        raise _translate(url, error) from error


def _translate(url: str, error: Exception) -> DatabaseError:
    cause = getattr(error, "orig", None) or error
    text = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    name = make_url(url).render_as_string(hide_password=True)
    where = make_url(url).database if name.startswith("sqlite") else name
    if "locked" in text or "busy" in text:
        return DatabaseError(
            f"The database {where} is locked by another program. Close that program, or wait "
            "until it has finished, and try again.",
            transient=True,
        )
    if "not a database" in text or "malformed" in text:
        return DatabaseError(
            f"The file {where} is not a database, or is damaged ({text}). Move it away to start "
            "with an empty one, or put a copy of a good one in its place.",
            exit_code=2,
        )
    if "readonly" in text or "unable to open" in text:
        return DatabaseError(
            f"The database {where} cannot be written ({text}). Check that you may write to its "
            "folder, or set CRUCIBLE_HOME to another one.",
            transient=True,
        )
    if "full" in text or "disk I/O" in text:
        return DatabaseError(
            f"The database {where} cannot grow ({text}). Free some disk space and try again.",
            transient=True,
        )
    # Of a server that is away the driver says OperationalError; of a wrong statement it does not.
    away = type(cause).__name__ == "OperationalError" and not isinstance(cause, sqlite3.Error)
    return DatabaseError(f"The database {where} refused: {text}.", transient=away)
