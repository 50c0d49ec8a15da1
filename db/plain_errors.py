"""What a driver says when something goes wrong, as one plain sentence without a password."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from db.errors import DatabaseError

# How a server's error begins, and whether waiting may help. By the text where there is no code:
# psycopg reports what happens before a connection is there without one.
_REFUSED = re.compile(
    r"password authentication failed|no password supplied|no pg_hba\.conf entry|does not exist"
    r"|permission denied|certificate|SSL|not permitted to log in|could not translate host name"
    r"|failed to resolve host|invalid (?:integer|port)"
)
_FULL = ("53100", "53200")  # disk_full, out_of_memory
_LOCKED = ("55P03", "40P01", "57014")  # lock_not_available, deadlock_detected, query_canceled


@contextmanager
def plain_errors(url: URL) -> Iterator[None]:
    """Turn what a driver raises in this block into a `DatabaseError`."""
    try:
        yield
    except (DBAPIError, PoolTimeoutError, sqlite3.Error) as error:
        raise translate(url, error) from error


def where(url: URL) -> str:
    """A database's place in words: a file, or server and name; neither user nor password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    folder = url.query.get("host")
    host = url.host or (folder if isinstance(folder, str) else None) or "this machine"
    port = f":{url.port}" if url.port else ""
    return f"{url.database or ''} on {host}{port}".strip()


def translate(url: URL, error: Exception) -> DatabaseError:
    """The sentence for an error of the driver."""
    if isinstance(error, PoolTimeoutError):
        return DatabaseError(
            f"The database {where(url)} is asked by too many pages at once. Try again.",
            transient=True,
        )
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines()
    text = lines[0].rstrip(".") if lines else type(cause).__name__
    if isinstance(cause, sqlite3.Error):
        return _of_sqlite(where(url), text)
    return _of_server(where(url), text, cause, lost=getattr(error, "connection_invalidated", False))


def _of_sqlite(place: str, text: str) -> DatabaseError:
    if "locked" in text or "busy" in text:
        return DatabaseError(
            f"The database {place} is locked by another program. Close that program, or wait "
            "until it has finished, and try again.",
            transient=True,
        )
    if "not a database" in text or "malformed" in text:
        return DatabaseError(
            f"The file {place} is not a database, or is damaged ({text}). Move it away to start "
            "with an empty one, or put a copy of a good one in its place.",
            exit_code=2,
        )
    if "readonly" in text or "unable to open" in text:
        return DatabaseError(
            f"The database {place} cannot be written ({text}). Check that you may write to its "
            "folder, or set CRUCIBLE_HOME to another one.",
            transient=True,
        )
    if "full" in text or "disk I/O" in text:
        return DatabaseError(
            f"The database {place} cannot grow ({text}). Free some disk space and try again.",
            transient=True,
        )
    return DatabaseError(f"The database {place} refused: {text}.")


def _of_server(place: str, text: str, cause: BaseException, *, lost: bool) -> DatabaseError:
    code = getattr(cause, "sqlstate", None)
    text = text.rpartition("FATAL:")[2].strip() or text  # the driver's own prefix repeats itself
    if code in _FULL:
        return DatabaseError(
            f"The database {place} cannot grow ({text}). Free some space on its server and try "
            "again.",
            transient=True,
        )
    if code in _LOCKED:
        return DatabaseError(
            f"The database {place} is locked by another program ({text}). Wait until it has "
            "finished, and try again.",
            transient=True,
        )
    operational = _is_operational(cause)
    wrong_option = text.startswith("invalid connection option")
    if wrong_option or (operational and not lost and _REFUSED.search(text)):
        return DatabaseError(
            f"The database {place} lets nobody in by CRUCIBLE_DATABASE_URL ({text}). Check user, "
            "password, host and name in it.",
            exit_code=2,
        )
    if operational or lost:
        return DatabaseError(
            f"The database {place} does not answer ({text}). Start its server, or wait until it "
            "is back.",
            transient=True,
        )
    return DatabaseError(f"The database {place} refused: {text}.")


def _is_operational(cause: BaseException) -> bool:
    """Whether the server or the way to it is the cause, not the statement."""
    return any(
        kind.__name__ in ("OperationalError", "InterfaceError") for kind in type(cause).mro()
    )
