"""The tables, as SQLAlchemy declarative classes.

Truth lives here: models and their lineage, jobs and their log, evaluations with every answer.
Times are UTC seconds since the epoch (`time.time()`), so that no database's notion of time zones
enters. Text that repeats (prompts) is stored once, by hash.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    false,
    literal_column,
    true,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from db.row_numbers import RowNumber


class Base(DeclarativeBase):
    """Common declarative base of every table."""

    type_annotation_map = {int: RowNumber, dict[str, Any]: JSON, list[Any]: JSON}


class Model(Base):
    """A model that can be merged, scored or talked to: a folder or a Hub id, or a merge of ours."""

    __tablename__ = "models"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    source: Mapped[str] = mapped_column(
        Text
    )  # absolute folder, Hub id, or "" for an unwritten merge
    revision: Mapped[str | None] = mapped_column(String(80))
    role: Mapped[str] = mapped_column(String(20))  # base | expert | instruct | merge
    domain: Mapped[str | None] = mapped_column(String(80))  # finance, math, japanese, general ...
    method: Mapped[str | None] = mapped_column(String(80))  # of a merge
    fingerprint: Mapped[str | None] = mapped_column(String(64))  # of the weights' content
    signature: Mapped[str | None] = mapped_column(String(64))  # of the files the fingerprint is of
    architecture: Mapped[str | None] = mapped_column(String(120))
    n_parameters: Mapped[int | None] = mapped_column(BigInteger)
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    dtype: Mapped[str | None] = mapped_column(String(20))
    has_chat_template: Mapped[bool | None]
    recipe_yaml: Mapped[str | None] = mapped_column(Text)
    recipe_hash: Mapped[str | None] = mapped_column(String(64), index=True)
    note: Mapped[str] = mapped_column(Text, default="")
    archived: Mapped[bool] = mapped_column(default=False)
    created: Mapped[float] = mapped_column(default=time.time)

    parents: Mapped[list[Parent]] = relationship(
        foreign_keys="Parent.child_id", order_by="Parent.position", cascade="all, delete-orphan"
    )


class Parent(Base):
    """One constituent of a merge: which model, in which role, with which weight."""

    __tablename__ = "parents"

    child_id: Mapped[int] = mapped_column(
        ForeignKey("models.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"))
    role: Mapped[str] = mapped_column(String(20))  # base | expert | instruct
    weight: Mapped[float] = mapped_column(default=1.0)


class Job(Base):
    """A unit of work for the worker: a merge, an evaluation, a download, a sandbox build."""

    __tablename__ = "jobs"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))
    title: Mapped[str] = mapped_column(Text)
    spec: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(20), default="queued", index=True)
    # queued | running | done | failed | cancelled
    group: Mapped[str | None] = mapped_column(String(40), index=True)  # jobs started by one press
    priority: Mapped[int] = mapped_column(default=0)  # higher runs first
    place: Mapped[float] = mapped_column(  # among equal priorities the lowest runs first
        default=literal_column("(SELECT coalesce(max(place), 0) + 1 FROM jobs)"),
        server_default="0",
        index=True,
    )
    paused: Mapped[bool] = mapped_column(default=False, server_default=false())
    content: Mapped[str | None] = mapped_column(String(64), index=True)  # hash of what is asked
    attempt: Mapped[int] = mapped_column(default=0)  # fences every later write
    deaths: Mapped[int] = mapped_column(default=0)  # starts that ended by a signal or a lost worker
    max_attempts: Mapped[int] = mapped_column(default=3)  # deaths at which the job fails
    device: Mapped[str | None] = mapped_column(
        String(20)
    )  # cpu, cuda:0 ... while and after running
    worker: Mapped[str | None] = mapped_column(String(120))
    lease_until: Mapped[float | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    stage: Mapped[str] = mapped_column(Text, default="")
    done: Mapped[float] = mapped_column(default=0.0)
    total: Mapped[float] = mapped_column(default=0.0)
    unit: Mapped[str] = mapped_column(String(40), default="")
    rate: Mapped[float | None]  # units per second, of the present stage
    error: Mapped[str | None] = mapped_column(Text)  # one plain sentence
    result: Mapped[dict[str, Any] | None]
    created: Mapped[float] = mapped_column(default=time.time)
    started: Mapped[float | None]
    ended: Mapped[float | None] = mapped_column(index=True)

    __table_args__ = (Index("jobs_claim", "state", priority.desc(), "place", "id"),)


class Dependency(Base):
    """`job_id` may start only when `needs_id` is done; if that one fails, it fails too."""

    __tablename__ = "dependencies"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    needs_id: Mapped[int] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )


class Evaluation(Base):
    """One model on one task under one configuration."""

    __tablename__ = "evaluations"

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), index=True)
    model_fingerprint: Mapped[str] = mapped_column(String(64))  # of what was scored then
    suite: Mapped[str] = mapped_column(String(80), index=True)
    task: Mapped[str] = mapped_column(String(160))
    domain: Mapped[str] = mapped_column(String(80))  # the task's group in the suite
    task_version: Mapped[str] = mapped_column(String(40))
    metric: Mapped[str] = mapped_column(String(60))
    value: Mapped[float]
    stderr: Mapped[float | None]
    n: Mapped[int]
    config: Mapped[dict[str, Any]]  # shots, template, dtype, limit ...
    config_hash: Mapped[str] = mapped_column(String(64))  # rows that differ here are never averaged
    prompts_hash: Mapped[str] = mapped_column(String(64))
    seconds: Mapped[float]
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    created: Mapped[float] = mapped_column(default=time.time)
    missing: Mapped[float | None]  # share of items without an answer; None: nothing is written
    truncated: Mapped[float | None]  # share of items cut off before an answer
    signatures: Mapped[dict[str, Any] | None]  # what `evaluation.signatures` found; None: not yet
    higher_is_better: Mapped[bool] = mapped_column(default=True, server_default=true())
    left_out: Mapped[list[Any] | None]  # [{"doc_id", "text"}] of items that could not be asked

    __table_args__ = (
        UniqueConstraint("model_id", "model_fingerprint", "suite", "task", "config_hash"),
    )


class Prompt(Base):
    """A prompt's text, stored once for all models that were asked."""

    __tablename__ = "prompts"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    text: Mapped[str] = mapped_column(Text)


class Answer(Base):
    """What one model answered to one item, and whether it was right."""

    __tablename__ = "answers"

    evaluation_id: Mapped[int] = mapped_column(
        ForeignKey("evaluations.id", ondelete="CASCADE"), primary_key=True
    )
    doc_id: Mapped[int] = mapped_column(primary_key=True)
    doc_hash: Mapped[str] = mapped_column(String(64))
    prompt_hash: Mapped[str] = mapped_column(ForeignKey("prompts.hash"))
    target: Mapped[str] = mapped_column(Text)
    output: Mapped[str] = mapped_column(Text)  # raw text; for multiple choice the chosen one
    extracted: Mapped[str | None] = mapped_column(Text)  # after the task's filter
    choices: Mapped[list[Any] | None]  # [{"text": str, "loglikelihood": float}] of multiple choice
    score: Mapped[float]  # the primary metric on this item
    correct: Mapped[bool | None]  # None where the metric is not right-or-wrong
    stopped: Mapped[str | None] = mapped_column(String(20))  # eos, until or length; None: unknown
    state: Mapped[str | None] = mapped_column(String(20))  # right, wrong, missing or truncated
    stray: Mapped[list[Any] | None]  # special tokens inside the answer, which its text leaves out


class Reply(Base):
    """What a model said in one turn of a conversation of a prompt set, for judges to read."""

    __tablename__ = "replies"

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"))
    model_fingerprint: Mapped[str] = mapped_column(String(64))
    set_hash: Mapped[str] = mapped_column(String(64))  # of the questions' content
    config_hash: Mapped[str] = mapped_column(String(64))  # of how they were asked
    question_id: Mapped[str] = mapped_column(String(80))
    turn: Mapped[int]  # from 0
    text: Mapped[str] = mapped_column(Text)
    stopped: Mapped[str | None] = mapped_column(String(20))
    created: Mapped[float] = mapped_column(default=time.time)

    __table_args__ = (
        UniqueConstraint(
            "model_id", "model_fingerprint", "set_hash", "config_hash", "question_id", "turn"
        ),
    )


class Judgement(Base):
    """One answer of a judge, under the hash of all that it was asked: never asked twice."""

    __tablename__ = "judgements"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    judge: Mapped[str] = mapped_column(Text)
    rubric: Mapped[str] = mapped_column(String(80))
    state: Mapped[str] = mapped_column(String(20))  # ok | unparsed
    score: Mapped[float | None]  # 1 to 10; None for a pair, and where nothing could be read
    verdict: Mapped[str | None] = mapped_column(String(20))  # A | B | tie, of a pair
    text: Mapped[str] = mapped_column(Text)  # what the judge said, whole
    created: Mapped[float] = mapped_column(default=time.time)

    __table_args__ = (Index("judgements_judge", "judge", "rubric"),)


class Judging(Base):
    """One judge's report on a model, or on a model beside another, over a prompt set."""

    __tablename__ = "judgings"

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), index=True)
    model_fingerprint: Mapped[str] = mapped_column(String(64))
    other_id: Mapped[int | None] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"))
    other_fingerprint: Mapped[str | None] = mapped_column(String(64))
    set_name: Mapped[str] = mapped_column(String(80), index=True)
    set_hash: Mapped[str] = mapped_column(String(64))
    mode: Mapped[str] = mapped_column(String(20))  # single | pair
    judge: Mapped[str] = mapped_column(Text)  # its name travels with every score
    rubric: Mapped[str] = mapped_column(String(80))
    config: Mapped[dict[str, Any]]  # how the questions were asked
    selection: Mapped[str] = mapped_column(String(20))  # allowed | forbidden, of the set
    summary: Mapped[dict[str, Any]]
    items: Mapped[list[Any]]  # question, turn, replies and keys of the judgements
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    created: Mapped[float] = mapped_column(default=time.time)


class Study(Base):
    """A designed set of merges and scores; its design's newest form."""

    __tablename__ = "study_designs"  # `studies` is the name of a table of Optuna's

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    design: Mapped[dict[str, Any]]  # `studies.design.Design` as plain data
    design_hash: Mapped[str] = mapped_column(String(64))
    group: Mapped[str | None] = mapped_column(String(40), index=True)  # jobs of the newest press
    note: Mapped[str] = mapped_column(Text, default="")
    archived: Mapped[bool] = mapped_column(default=False)
    created: Mapped[float] = mapped_column(default=time.time)


class StudyPoint(Base):
    """One merge of a study: what it is, its recipe tied to its parents' content, how it went."""

    __tablename__ = "study_points"

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study_designs.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(String(64))
    stage: Mapped[str] = mapped_column(String(20))  # 1 | 2 | 3 | instruct
    position: Mapped[int]  # in the design's own order
    point: Mapped[dict[str, Any]]  # `studies.points.Point` as plain data
    recipe_yaml: Mapped[str] = mapped_column(Text)
    recipe_hash: Mapped[str] = mapped_column(String(64), index=True)
    state: Mapped[str] = mapped_column(String(20), default="planned")
    # planned | running | done | failed
    starts: Mapped[int] = mapped_column(default=0)  # times it was begun and not ended
    error: Mapped[str | None] = mapped_column(Text)  # one plain sentence
    seconds_merge: Mapped[float | None]
    seconds_score: Mapped[float | None]
    copied: Mapped[bool] = mapped_column(default=False)  # every score is another study's
    created: Mapped[float] = mapped_column(default=time.time)
    ended: Mapped[float | None]

    __table_args__ = (UniqueConstraint("study_id", "key"),)


class PointScore(Base):
    """A point's score on one task, with every item's score and answer, packed (`db.packed`)."""

    __tablename__ = "point_scores"

    id: Mapped[int] = mapped_column(primary_key=True)
    point_id: Mapped[int] = mapped_column(ForeignKey("study_points.id", ondelete="CASCADE"))
    suite: Mapped[str] = mapped_column(String(80))
    task: Mapped[str] = mapped_column(String(160))
    domain: Mapped[str] = mapped_column(String(80))
    metric: Mapped[str] = mapped_column(String(60))
    value: Mapped[float]
    stderr: Mapped[float | None]
    n: Mapped[int]
    higher_is_better: Mapped[bool]
    missing: Mapped[float | None]  # share of items without an answer; None: nothing is written
    truncated: Mapped[float | None]  # share of items cut off before an answer
    config_hash: Mapped[str] = mapped_column(String(64))
    prompts_hash: Mapped[str] = mapped_column(String(64))
    asked: Mapped[str] = mapped_column(ForeignKey("item_lists.hash"))
    items: Mapped[bytes]  # float32 scores in the order of the list of items
    outputs: Mapped[bytes]  # {"extracted": [text or null], "states": [first letter or null]}
    seconds: Mapped[float]
    created: Mapped[float] = mapped_column(default=time.time)

    __table_args__ = (UniqueConstraint("point_id", "task", "config_hash"),)


class ItemList(Base):
    """Which items were asked, in order: stored once for all points that were asked the same."""

    __tablename__ = "item_lists"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    items: Mapped[bytes]  # [[doc_id, doc_hash], ...], packed


class Search(Base):
    """A search for the best recipe; its trials are in Optuna's own tables, under `storage`."""

    __tablename__ = "searches"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    design: Mapped[dict[str, Any]]  # `search.design.SearchDesign` as plain data
    design_hash: Mapped[str] = mapped_column(String(64))
    storage: Mapped[str] = mapped_column(String(200), unique=True)  # name of the study in Optuna
    group: Mapped[str | None] = mapped_column(String(40), index=True)  # jobs of the newest press
    chosen: Mapped[dict[str, Any] | None]  # what is reported on the held-out items
    note: Mapped[str] = mapped_column(Text, default="")
    archived: Mapped[bool] = mapped_column(default=False)
    created: Mapped[float] = mapped_column(default=time.time)


class Setting(Base):
    """A value the user chose in the app, by key."""

    __tablename__ = "settings"

    key: Mapped[str] = mapped_column(String(80), primary_key=True)
    value: Mapped[dict[str, Any]]
