"""The tables of format 1, frozen: what the first release wrote. Never edited.

`db.tables` goes on; a later migration leads from here to there, and a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
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
)

METADATA = MetaData()

Table(
    "jobs",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("kind", String(40), nullable=False),
    Column("title", Text, nullable=False),
    Column("spec", JSON, nullable=False),
    Column("state", String(20), nullable=False),
    Column("group", String(40)),
    Column("priority", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("deaths", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("device", String(20)),
    Column("worker", String(120)),
    Column("lease_until", Double),
    Column("cancel_requested", Boolean, nullable=False),
    Column("stage", Text, nullable=False),
    Column("done", Double, nullable=False),
    Column("total", Double, nullable=False),
    Column("unit", String(40), nullable=False),
    Column("rate", Double),
    Column("error", Text),
    Column("result", JSON),
    Column("created", Double, nullable=False),
    Column("started", Double),
    Column("ended", Double),
    Index("ix_jobs_group", "group"),
    Index("ix_jobs_state", "state"),
    Index("jobs_claim", "state", "priority", "id"),
)

Table(
    "models",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("source", Text, nullable=False),
    Column("revision", String(80)),
    Column("role", String(20), nullable=False),
    Column("domain", String(80)),
    Column("method", String(80)),
    Column("fingerprint", String(64)),
    Column("signature", String(64)),
    Column("architecture", String(120)),
    Column("n_parameters", BigInteger),
    Column("size_bytes", BigInteger),
    Column("dtype", String(20)),
    Column("has_chat_template", Boolean),
    Column("recipe_yaml", Text),
    Column("recipe_hash", String(64)),
    Column("note", Text, nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("created", Double, nullable=False),
    Index("ix_models_recipe_hash", "recipe_hash"),
)

Table(
    "prompts",
    METADATA,
    Column("hash", String(64), primary_key=True),
    Column("text", Text, nullable=False),
)

Table(
    "settings",
    METADATA,
    Column("key", String(80), primary_key=True),
    Column("value", JSON, nullable=False),
)

Table(
    "dependencies",
    METADATA,
    Column("job_id", Integer, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("needs_id", Integer, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
)

Table(
    "evaluations",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("model_id", Integer, ForeignKey("models.id", ondelete="CASCADE"), nullable=False),
    Column("model_fingerprint", String(64), nullable=False),
    Column("suite", String(80), nullable=False),
    Column("task", String(160), nullable=False),
    Column("domain", String(80), nullable=False),
    Column("task_version", String(40), nullable=False),
    Column("metric", String(60), nullable=False),
    Column("value", Double, nullable=False),
    Column("stderr", Double),
    Column("n", Integer, nullable=False),
    Column("config", JSON, nullable=False),
    Column("config_hash", String(64), nullable=False),
    Column("prompts_hash", String(64), nullable=False),
    Column("seconds", Double, nullable=False),
    Column("job_id", Integer, ForeignKey("jobs.id", ondelete="SET NULL")),
    Column("created", Double, nullable=False),
    UniqueConstraint("model_id", "model_fingerprint", "suite", "task", "config_hash"),
    Index("ix_evaluations_model_id", "model_id"),
    Index("ix_evaluations_suite", "suite"),
)

Table(
    "parents",
    METADATA,
    Column("child_id", Integer, ForeignKey("models.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("parent_id", Integer, ForeignKey("models.id", ondelete="CASCADE"), nullable=False),
    Column("role", String(20), nullable=False),
    Column("weight", Double, nullable=False),
)

Table(
    "answers",
    METADATA,
    Column(
        "evaluation_id", Integer, ForeignKey("evaluations.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("doc_id", Integer, primary_key=True),
    Column("doc_hash", String(64), nullable=False),
    Column("prompt_hash", String(64), ForeignKey("prompts.hash"), nullable=False),
    Column("target", Text, nullable=False),
    Column("output", Text, nullable=False),
    Column("extracted", Text),
    Column("choices", JSON),
    Column("score", Double, nullable=False),
    Column("correct", Boolean),
)


def create(connection: Connection) -> None:
    """Make the tables of format 1 in an empty database."""
    METADATA.create_all(connection)
