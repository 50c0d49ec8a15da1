"""Opening the database, and the two kinds of transaction.

`session()` reads: it sees one consistent state and never waits for a writer. `transaction()`
writes: it takes the write lock at its start, so that what it reads is still true when it writes,
and commits at its end. SQLite and PostgreSQL keep the same promises (`db.sqlite`, `db.postgres`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.orm import Session

from db import migrations, postgres, settings, sqlite
from db.errors import DatabaseError
from db.plain_errors import plain_errors

UNREADABLE = "it cannot be read; an @, / or : in a password is written %40, %2F, %3A"

_engines: dict[str, Engine] = {}
_opening = threading.Lock()


def open_database(url: str | None = None) -> Engine:
    """The engine for a URL (default: the settings'), opened, checked and migrated once.

    Raises:
        DatabaseError: not a database, from a newer version, locked, not writable, or a server
            that is away or refuses us.
    """
    url = url or settings.database_url()
    with _opening:
        engine = _engines.get(url)
        if engine is None:
            engine = _create(url)
            try:
                with plain_errors(engine.url):
                    migrations.migrate(engine)
            except BaseException:
                engine.dispose()
                raise
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
    if engine.dialect.name == "postgresql":  # SQLite's readers always see one state
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with plain_errors(engine.url), Session(engine, expire_on_commit=False) as opened:
        yield opened


@contextmanager
def transaction(url: str | None = None) -> Iterator[Session]:
    """A session for writing: it holds the write lock, commits at the end, undoes on an error.

    Raises:
        DatabaseError: the database cannot be opened or written.
    """
    engine = open_database(url).execution_options(crucible_writes=True)
    with (
        plain_errors(engine.url),
        Session(engine, expire_on_commit=False) as opened,
        opened.begin(),
    ):
        yield opened


def _create(url: str) -> Engine:
    parsed = _parse(url)
    try:
        if parsed.get_backend_name() == "postgresql":
            return postgres.engine(parsed)
        return sqlite.engine(parsed)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        if isinstance(error, ImportError) and parsed.drivername == "postgresql+psycopg":
            raise DatabaseError(
                "PostgreSQL takes the package psycopg, which is not installed: pip install -r "
                "requirements-extra.txt.",
                exit_code=2,
            ) from error
        raise _unknown(f"there is no driver {parsed.drivername}") from error


def _parse(url: str) -> URL:
    """A URL's parts. Nothing of a URL is repeated in an error: there may be a password in it."""
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError):
        # not `from error`: its text, which the log would have, may hold a part of the password
        raise _unknown(UNREADABLE) from None
    if backend != "sqlite" and "@" in f"{parsed.host}{parsed.database}":
        raise _unknown(UNREADABLE)  # an @ in the password: its rest stands among these
    if backend not in ("sqlite", "postgresql"):
        raise _unknown(f"{backend} is neither sqlite nor postgresql")
    return parsed


def _unknown(why: str) -> DatabaseError:
    return DatabaseError(
        f"CRUCIBLE_DATABASE_URL is not a database that can be opened here ({why}). Give a URL such "
        "as sqlite:////path/to/crucible.db or postgresql://user:password@host/name.",
        exit_code=2,
    )
