"""From format 5 to format 6, frozen: the queue's order and pauses, and searches. Never edited.

On PostgreSQL text is as long as it is from this format on, as in SQLite always.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    inspect,
    text,
)

METADATA = MetaData()

Table(
    "searches",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("design", JSON, nullable=False),
    Column("design_hash", String(64), nullable=False),
    Column("storage", String(200), nullable=False),
    Column("group", String(40)),
    Column("chosen", JSON),
    Column("note", Text, nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("created", Double, nullable=False),
    UniqueConstraint("name"),
    UniqueConstraint("storage"),
    Index("ix_searches_group", "group"),
)

QUEUE = (
    "ALTER TABLE jobs ADD COLUMN paused BOOLEAN DEFAULT {false} NOT NULL",
    "ALTER TABLE jobs ADD COLUMN place {double} DEFAULT 0 NOT NULL",
    "ALTER TABLE jobs ADD COLUMN content VARCHAR(64)",
    "UPDATE jobs SET place = id",
    "DROP INDEX jobs_claim",
    "CREATE INDEX jobs_claim ON jobs (state, priority DESC, place, id)",
    "CREATE INDEX ix_jobs_place ON jobs (place)",
    "CREATE INDEX ix_jobs_content ON jobs (content)",
    "CREATE INDEX ix_jobs_ended ON jobs (ended)",
)

# a search's trials are in Optuna's own tables of this database, one of which is called `studies`
SEARCH = (
    "ALTER TABLE studies RENAME TO study_designs",
    "DROP INDEX ix_studies_group",
    'CREATE INDEX ix_study_designs_group ON study_designs ("group")',
)

# what PostgreSQL named after the old table, and Optuna's would be called
POSTGRES = (
    "ALTER INDEX studies_pkey RENAME TO study_designs_pkey",
    "ALTER INDEX studies_name_key RENAME TO study_designs_name_key",
    "ALTER SEQUENCE studies_id_seq RENAME TO study_designs_id_seq",
)

TABLES = (
    "answers", "dependencies", "evaluations", "item_lists", "jobs", "judgements", "judgings",
    "models", "parents", "point_scores", "prompts", "replies", "searches", "settings",
    "study_designs", "study_points",
)  # fmt: skip


def upgrade(connection: Connection) -> None:
    """Add what is new in format 6."""
    sqlite = connection.dialect.name == "sqlite"
    words = {"false": "0", "double": "DOUBLE"} if sqlite else (
        {"false": "FALSE", "double": "DOUBLE PRECISION"})  # fmt: skip
    for statement in (*QUEUE, *SEARCH):
        connection.execute(text(statement.format(**words)))
    METADATA.create_all(connection, checkfirst=False)
    if connection.dialect.name == "postgresql":
        for statement in POSTGRES:
            connection.execute(text(statement))
        _lengthen(connection)


def _lengthen(connection: Connection) -> None:
    """Let PostgreSQL keep text of any length, as SQLite always did; a change of words alone."""
    looked = inspect(connection)
    for table in TABLES:
        for column in looked.get_columns(table):
            if getattr(column["type"], "length", None) is not None:
                connection.execute(
                    text(f'ALTER TABLE {table} ALTER COLUMN "{column["name"]}" TYPE VARCHAR')
                )
