"""Numbered steps from each released shape of the database to the next, forward only.

SQLite keeps the number in `user_version`; other databases in the table `schema_version`. Before
a database with contents is changed, SQLite writes a copy of it beside the file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from db import schema_1, schema_2, schema_3, schema_4, schema_5, schema_6
from db.errors import DatabaseError

Migration = Callable[[Connection], None]

# MIGRATIONS[i] leads from version i to i + 1. Version 0 is the empty database.
MIGRATIONS: tuple[Migration, ...] = (
    schema_1.create,
    schema_2.upgrade,
    schema_3.upgrade,
    schema_4.upgrade,
    schema_5.upgrade,
    schema_6.upgrade,
)


def newest() -> int:
    """The version that this program writes."""
    return len(MIGRATIONS)


def version(connection: Connection) -> int:
    """The version a database is in; 0 for an empty one."""
    if connection.dialect.name == "sqlite":
        return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
    if not inspect(connection).has_table("schema_version"):
        return 0
    return int(connection.execute(text("SELECT version FROM schema_version")).scalar() or 0)


def migrate(engine: Engine) -> None:
    """Bring a database to the newest version, each step in its own transaction.

    Raises:
        DatabaseError: the database was written by a newer version of Crucible.
    """
    with engine.connect() as connection:
        found = version(connection)
    if found > newest():
        raise DatabaseError(
            f"The database {engine.url.render_as_string(hide_password=True)} was written by a "
            f"newer version of Crucible (its format is {found}, this program knows up to "
            f"{newest()}). Update Crucible, or set CRUCIBLE_HOME to another folder.",
            exit_code=2,
        )
    if found == newest():
        return
    if found > 0:
        back_up(engine, found)
    writer = engine.execution_options(crucible_writes=True)
    for number in range(found, newest()):
        with writer.begin() as connection:
            # Two programs may start at the same moment: the second finds the step done.
            if version(connection) > number:
                continue
            MIGRATIONS[number](connection)
            _stamp(connection, number + 1)


def back_up(engine: Engine, found: int) -> Path | None:
    """Copy a SQLite database beside itself, whole and consistent; other databases: None."""
    if engine.dialect.name != "sqlite" or not engine.url.database:
        return None
    source = Path(engine.url.database)
    copy = source.with_name(f"{source.stem}-v{found}-{time.strftime('%Y%m%d-%H%M%S')}.db")
    if copy.exists():
        copy = copy.with_name(f"{copy.stem}-{os.getpid()}.db")
    raw = engine.raw_connection()  # a transaction, which SQLAlchemy always begins, is in the way
    try:
        raw.cursor().execute("VACUUM INTO ?", (str(copy),))
    finally:
        raw.close()
    return copy


def _stamp(connection: Connection, number: int) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA user_version = {int(number)}")
        return
    if not inspect(connection).has_table("schema_version"):
        connection.execute(text("CREATE TABLE schema_version (version INTEGER NOT NULL)"))
        connection.execute(text("INSERT INTO schema_version VALUES (0)"))
    connection.execute(text("UPDATE schema_version SET version = :n"), {"n": number})
