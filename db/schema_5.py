"""From format 4 to format 5, frozen: studies, their points and the points' scores. Never edited."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData()

Table(
    "studies",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("design", JSON, nullable=False),
    Column("design_hash", String(64), nullable=False),
    Column("group", String(40)),
    Column("note", Text, nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("created", Double, nullable=False),
    UniqueConstraint("name"),
    Index("ix_studies_group", "group"),
)

Table(
    "study_points",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("study_id", Integer, ForeignKey("studies.id", ondelete="CASCADE"), nullable=False),
    Column("key", String(64), nullable=False),
    Column("stage", String(20), nullable=False),
    Column("position", Integer, nullable=False),
    Column("point", JSON, nullable=False),
    Column("recipe_yaml", Text, nullable=False),
    Column("recipe_hash", String(64), nullable=False),
    Column("state", String(20), nullable=False),
    Column("starts", Integer, nullable=False),
    Column("error", Text),
    Column("seconds_merge", Double),
    Column("seconds_score", Double),
    Column("copied", Boolean, nullable=False),
    Column("created", Double, nullable=False),
    Column("ended", Double),
    UniqueConstraint("study_id", "key"),
    Index("ix_study_points_recipe_hash", "recipe_hash"),
)

Table(
    "item_lists",
    METADATA,
    Column("hash", String(64), primary_key=True),
    Column("items", LargeBinary, nullable=False),
)

Table(
    "point_scores",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("point_id", Integer, ForeignKey("study_points.id", ondelete="CASCADE"), nullable=False),
    Column("suite", String(80), nullable=False),
    Column("task", String(160), nullable=False),
    Column("domain", String(80), nullable=False),
    Column("metric", String(60), nullable=False),
    Column("value", Double, nullable=False),
    Column("stderr", Double),
    Column("n", Integer, nullable=False),
    Column("higher_is_better", Boolean, nullable=False),
    Column("missing", Double),
    Column("truncated", Double),
    Column("config_hash", String(64), nullable=False),
    Column("prompts_hash", String(64), nullable=False),
    Column("asked", String(64), ForeignKey("item_lists.hash"), nullable=False),
    Column("items", LargeBinary, nullable=False),
    Column("outputs", LargeBinary, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("created", Double, nullable=False),
    UniqueConstraint("point_id", "task", "config_hash"),
)


def upgrade(connection: Connection) -> None:
    """Add the tables of format 5 to a database of format 4."""
    METADATA.create_all(connection, checkfirst=False)
