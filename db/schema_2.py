"""From format 1 to format 2, frozen: how answers end, signs of failure, and the judge's tables.

Never edited; `db.tables` goes on, and a test compares what the migrations make with it.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

NEW_COLUMNS = (
    "ALTER TABLE answers ADD COLUMN stopped VARCHAR(20)",
    "ALTER TABLE answers ADD COLUMN stray JSON",
    "ALTER TABLE evaluations ADD COLUMN signatures JSON",
)


def upgrade(connection: Connection) -> None:
    """Add the columns and tables of format 2 to a database of format 1."""
    for statement in NEW_COLUMNS:
        connection.execute(text(statement))
    new = _tables()
    new.create_all(connection, tables=[new.tables[name] for name in NEW_TABLES], checkfirst=False)


NEW_TABLES = ("replies", "judgements", "judgings")


def _tables() -> MetaData:
    metadata = MetaData()
    for there in ("models", "jobs"):  # named so that foreign keys can point to them
        Table(there, metadata, Column("id", Integer, primary_key=True))
    Table(
        "replies",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("model_id", Integer, ForeignKey("models.id", ondelete="CASCADE"), nullable=False),
        Column("model_fingerprint", String(64), nullable=False),
        Column("set_hash", String(64), nullable=False),
        Column("config_hash", String(64), nullable=False),
        Column("question_id", String(80), nullable=False),
        Column("turn", Integer, nullable=False),
        Column("text", Text, nullable=False),
        Column("stopped", String(20)),
        Column("created", Double, nullable=False),
        UniqueConstraint(
            "model_id", "model_fingerprint", "set_hash", "config_hash", "question_id", "turn"
        ),
    )
    Table(
        "judgements",
        metadata,
        Column("key", String(64), primary_key=True),
        Column("judge", Text, nullable=False),
        Column("rubric", String(80), nullable=False),
        Column("state", String(20), nullable=False),
        Column("score", Double),
        Column("verdict", String(20)),
        Column("text", Text, nullable=False),
        Column("created", Double, nullable=False),
        Index("judgements_judge", "judge", "rubric"),
    )
    Table(
        "judgings",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("model_id", Integer, ForeignKey("models.id", ondelete="CASCADE"), nullable=False),
        Column("model_fingerprint", String(64), nullable=False),
        Column("other_id", Integer, ForeignKey("models.id", ondelete="CASCADE")),
        Column("other_fingerprint", String(64)),
        Column("set_name", String(80), nullable=False),
        Column("set_hash", String(64), nullable=False),
        Column("mode", String(20), nullable=False),
        Column("judge", Text, nullable=False),
        Column("rubric", String(80), nullable=False),
        Column("config", JSON, nullable=False),
        Column("selection", String(20), nullable=False),
        Column("summary", JSON, nullable=False),
        Column("items", JSON, nullable=False),
        Column("job_id", Integer, ForeignKey("jobs.id", ondelete="SET NULL")),
        Column("created", Double, nullable=False),
        Index("ix_judgings_model_id", "model_id"),
        Index("ix_judgings_set_name", "set_name"),
    )
    return metadata
