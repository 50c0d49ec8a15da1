"""Numbered steps from each released shape of the database to the next, forward only.

SQLite keeps the number in `user_version`; other databases in the table `schema_version`. Before
a SQLite file with contents is changed, a copy of it is written beside it (`db.sqlite.back_up`).
Only tables of ours are touched, whatever else lives in the database.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Engine, inspect, text

from db import schema_1, schema_2, schema_3, schema_4, schema_5, schema_6, sqlite
from db.errors import DatabaseError
from db.plain_errors import where

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
    """Bring a database to the newest version, all steps in one transaction.

    Killed anywhere in between, the database stays as it was. Of programs that start at the same
    moment the first does it, and the others find it done.

    Raises:
        DatabaseError: the database was written by a newer version of Crucible, or by another
            program, or its disk has no room for the copy.
    """
    with engine.connect() as connection:
        found = version(connection)
    _refuse_newer(engine, found)
    if found == newest():
        return
    with engine.execution_options(crucible_writes=True).begin() as connection:
        found = version(connection)
        _refuse_newer(engine, found)
        if found == newest():
            return
        if found == 0:
            _refuse_strangers(engine, connection)
        elif connection.dialect.name == "sqlite" and engine.url.database:
            sqlite.back_up(engine.url.database, found)
        for number in range(found, newest()):
            MIGRATIONS[number](connection)
        _stamp(connection, newest())


def _refuse_newer(engine: Engine, found: int) -> None:
    if found <= newest():
        return
    other = "CRUCIBLE_HOME to another folder"
    if engine.dialect.name != "sqlite":
        other = "CRUCIBLE_DATABASE_URL to another database"
    raise DatabaseError(
        f"The database {where(engine.url)} was written by a newer version of Crucible (its format "
        f"is {found}, this program knows up to {newest()}). Update Crucible, or set {other}.",
        exit_code=2,
    )


def _refuse_strangers(engine: Engine, connection: Connection) -> None:
    """Tables of our names without a version are not ours: nothing is mixed with them."""
    taken = {*schema_1.METADATA.tables, *schema_5.METADATA.tables}
    taken &= set(inspect(connection).get_table_names())
    if taken:
        raise DatabaseError(
            f"The database {where(engine.url)} holds tables of another program "
            f"({', '.join(sorted(taken))}). Give Crucible a database of its own.",
            exit_code=2,
        )


def _stamp(connection: Connection, number: int) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA user_version = {int(number)}")
        return
    if not inspect(connection).has_table("schema_version"):
        connection.execute(text("CREATE TABLE schema_version (version INTEGER NOT NULL)"))
        connection.execute(text("INSERT INTO schema_version VALUES (0)"))
    connection.execute(text("UPDATE schema_version SET version = :n"), {"n": number})
