"""Databases as older versions wrote them: made by the frozen steps, two rows in every table."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    LargeBinary,
    MetaData,
    String,
    create_engine,
    select,
    text,
)
from sqlalchemy.types import Float, Integer, Numeric

from db import migrations

RENAMED = {"studies": "study_designs"}  # by format 6
ROWS = 2
NOT_OURS = "schema_version"

Rows = dict[str, list[dict[str, Any]]]


def make(url: str, number: int) -> Rows:
    """Write a database of an older format, and give back its rows."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for step in migrations.MIGRATIONS[:number]:
            step(connection)
        migrations._stamp(connection, number)
        fill(connection)
    rows = contents(url)
    engine.dispose()
    return rows


def fill(connection: Connection) -> None:
    """Two rows in every table; each refers to rows of the same number."""
    tables = MetaData()
    tables.reflect(connection)
    for table in tables.sorted_tables:
        if table.name == NOT_OURS:
            continue
        for row in range(1, ROWS + 1):
            values = {column.name: _value(column, row) for column in table.columns}
            connection.execute(table.insert().values(**values))
    if connection.dialect.name == "postgresql":  # numbers that were given count as taken
        for table in tables.sorted_tables:
            if "id" in table.columns:
                connection.execute(text(
                    f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), {ROWS})"
                ))  # fmt: skip


def contents(url: str) -> Rows:
    """Every row of every table, ordered, under today's names of the tables."""
    engine = create_engine(url)
    tables = MetaData()
    tables.reflect(engine)
    found: Rows = {}
    with engine.connect() as connection:
        for table in tables.sorted_tables:
            if table.name != NOT_OURS:
                query = select(table).order_by(*table.primary_key.columns)
                rows = [dict(row) for row in connection.execute(query).mappings()]
                found[RENAMED.get(table.name, table.name)] = rows
    engine.dispose()
    return found


def kept(old: Rows, new: Rows) -> bool:
    """Whether every row and value of `old` is in `new`, which may have more columns and tables.

    `place` in the queue, which was always a job's number, is filled by format 6.
    """
    return all(
        len(new[table]) == len(rows)
        and all(
            row.items() <= now.items() if _plain(row) else _within(row, now)
            for row, now in zip(rows, new[table], strict=True)
        )
        for table, rows in old.items()
    )


def _plain(row: dict[str, Any]) -> bool:
    return not any(isinstance(value, dict | list) for value in row.values())


def _within(row: dict[str, Any], now: dict[str, Any]) -> bool:
    return all(now[name] == value for name, value in row.items())


def _value(column: Column[Any], row: int) -> Any:
    kind = column.type
    if isinstance(kind, JSON):
        return {"row": row, "of": column.name, "deep": [1.5, None, "ü 日本"]}
    if isinstance(kind, Boolean):
        return row % 2 == 1
    if isinstance(kind, Integer):
        return row
    if isinstance(kind, Float | Numeric):
        return row + 0.25
    if isinstance(kind, LargeBinary):
        return bytes([0, 255, row])
    if column.name == "hash" or column.foreign_keys or column.name in ("prompt_hash", "asked"):
        return f"hash {row}"
    assert isinstance(kind, String), (column, kind)
    return f"{column.name[:10]} {row} 日"[: kind.length or 99]
