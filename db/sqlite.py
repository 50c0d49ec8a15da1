"""SQLite's own ways: settings of a connection, how a transaction begins, copies of the file."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from db.errors import DatabaseError

BUSY_TIMEOUT_MS = 30_000  # how long a connection waits for another's write lock
BACKUPS_KEPT = 3
_PAGES_AT_ONCE = 4_096


def engine(url: URL) -> Engine:
    """An engine whose connections have safe settings."""
    made = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
    event.listen(made, "connect", _configure)
    event.listen(made, "begin", _begin)
    return made


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, see _begin
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once, without waiting, when another
    # one wrote in between. Writers therefore take the write lock before they read.
    writes = connection.get_execution_options().get("crucible_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def back_up(url_database: str, found: int) -> Path:
    """Copy a database beside itself, whole and consistent; the oldest copies go.

    The copy has its final name only when it is complete and on the disk.

    Args:
        url_database: the file.
        found: the format that it is in, for the copy's name.

    Raises:
        DatabaseError: the disk has no room for the copy.
    """
    source = Path(url_database)
    copy = source.with_name(f"{source.stem}-v{found}-{time.strftime('%Y%m%d-%H%M%S')}.db")
    if copy.exists():
        copy = copy.with_name(f"{copy.stem}-{os.getpid()}.db")
    partial = copy.with_name(f".{copy.name}.partial")
    _need_room(source)
    _remove_partials(source)
    try:
        with (
            contextlib.closing(sqlite3.connect(source, timeout=BUSY_TIMEOUT_MS / 1000)) as read,
            contextlib.closing(sqlite3.connect(partial)) as written,
        ):
            read.backup(written, pages=_PAGES_AT_ONCE)
            written.execute("PRAGMA journal_mode=DELETE")  # one file, whatever else is lost
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.rename(copy)
    finally:
        _remove_partials(source)
    for old in backups(source)[:-BACKUPS_KEPT]:
        old.unlink(missing_ok=True)
    return copy


def backups(database: Path) -> list[Path]:
    """The copies that migrations have left beside a database, the oldest first."""
    found = database.parent.glob(f"{database.stem}-v*-*.db")
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))


def _need_room(source: Path) -> None:
    parts = (source, source.with_name(f"{source.name}-wal"))
    size_bytes = sum(part.stat().st_size for part in parts if part.exists())
    free_bytes = shutil.disk_usage(source.parent).free
    # A copy, and as much again for the changes themselves, which stand in the log until the end.
    if free_bytes < 2 * size_bytes:
        raise DatabaseError(
            f"The database {source} is of an older format and is copied before it is changed: that "
            f"takes {2 * size_bytes / 1e6:.0f} MB, and {free_bytes / 1e6:.0f} MB are free. Free "
            "some space and start again.",
            transient=True,
        )


def _remove_partials(source: Path) -> None:
    """What a copy that was killed has left. Only one process copies: it holds the write lock."""
    for partial in source.parent.glob(f".{source.stem}-v*.db.partial*"):
        partial.unlink(missing_ok=True)
