"""Writing down what a judge's job reports; `record` calls it, inside a fenced transaction."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from db.tables import Judgement, Judging, Reply

Event = Mapping[str, Any]


def add_replies(opened: Session, event: Event) -> None:
    """Keep a model's replies; one that is there already is replaced."""
    whose = ("model_id", "set_hash", "config_hash")
    shared = {name: event[name] for name in whose}
    for said in event["replies"]:
        place = {"question_id": said["question_id"], "turn": said["turn"]}
        there = {**shared, **place, "model_fingerprint": event["fingerprint"]}
        opened.execute(
            delete(Reply).where(*(getattr(Reply, name) == value for name, value in there.items()))
        )
        opened.add(Reply(**there, text=said["text"], stopped=said.get("stopped")))


def add_judgement(opened: Session, event: Event) -> None:
    """Keep an answer of a judge under the hash of what it was asked."""
    names = ("key", "judge", "rubric", "state", "score", "verdict", "text")
    opened.merge(Judgement(**{name: event[name] for name in names}, created=time.time()))


def add_judging(opened: Session, event: Event, job_id: int) -> int:
    """Keep a report; the same question asked again replaces the earlier answer. Returns its id."""
    same = ("model_id", "model_fingerprint", "other_id", "other_fingerprint", "set_hash", "mode",
            "judge", "rubric", "config")  # fmt: skip
    for row in opened.query(Judging).filter_by(
        model_id=event["model_id"], set_hash=event["set_hash"], judge=event["judge"]
    ):
        if all(getattr(row, name) == event[name] for name in same):
            opened.delete(row)
    names = (*same, "set_name", "selection", "summary", "items")
    row = Judging(**{name: event[name] for name in names}, job_id=job_id)
    opened.add(row)
    opened.flush()
    return row.id
