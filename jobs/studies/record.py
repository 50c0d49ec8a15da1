"""Writing down what a study's lane reports; the worker alone does it, within its fenced writes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from db.packed import pack_floats, pack_json
from db.queries.studies import sources_key
from db.tables import ItemList, PointScore, Study, StudyPoint

KINDS = frozenset({"point_begun", "point_scores", "point", "point_error", "point_sources"})
SAME = ("task", "domain", "metric", "value", "stderr", "n", "higher_is_better", "missing",
        "truncated", "config_hash", "prompts_hash", "seconds", "asked")  # fmt: skip


def record(opened: Session, event: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
    """Write one event of a lane.

    Args:
        opened: a transaction that has checked that the job is still this attempt's.
        event: of one of `KINDS`.
        spec: of the lane.
    """
    study_id = int(spec["study_id"])
    study = opened.get(Study, study_id)
    if study is None or study.created != spec.get("study_created", study.created):
        return  # it was removed, and its number may be another one's by now
    if event["kind"] == "point_sources":
        add_list(opened, sources_key(study_id), event["sources"], renew=True)
        return
    point = opened.scalar(
        select(StudyPoint).where(StudyPoint.study_id == study_id, StudyPoint.key == event["key"])
    )
    if point is None:
        return
    match event["kind"]:
        case "point_begun":
            point.state, point.error, point.ended = "running", None, None
            point.starts += 1
        case "point_scores":
            for name, asked in event["lists"].items():
                add_list(opened, name, asked)
            opened.flush()
            add_scores(opened, point.id, str(spec["suite_name"]), event["scores"])
        case "point":
            point.state, point.starts, point.error = "done", 0, event.get("text")
            point.recipe_yaml = join(event["recipes"])
            point.recipe_hash = event["recipe_hash"]
            point.seconds_merge = event["seconds_merge"]
            point.seconds_score = (point.seconds_score or 0.0) + event["seconds_score"]
            point.copied, point.ended = False, time.time()
        case "point_error":
            point.state, point.starts, point.error = "failed", 0, event["text"]
            point.ended = time.time()


def join(recipes: Sequence[str]) -> str:
    """Recipes that are merged one upon the other, as one text."""
    return "---\n".join(recipes)


def split(text: str) -> list[str]:
    """What `join` joined."""
    return text.split("\n---\n") if "\n---\n" in text else [text]


def add_scores(
    opened: Session, point_id: int, suite: str, scores: Sequence[Mapping[str, Any]]
) -> None:
    """A task's score in the place of one under the same configuration."""
    for one in scores:
        opened.execute(
            delete(PointScore).where(
                PointScore.point_id == point_id,
                PointScore.task == one["task"],
                PointScore.config_hash == one["config_hash"],
            )
        )
        outputs = {"extracted": one["extracted"], "states": one["states"]}
        opened.add(
            PointScore(
                point_id=point_id,
                suite=suite,
                items=pack_floats(one["items"]),
                outputs=pack_json(outputs),
                **{name: one[name] for name in SAME},
            )
        )


def add_list(opened: Session, name: str, content: Any, *, renew: bool = False) -> None:
    """A list of items under its hash, unless it is there."""
    found = opened.get(ItemList, name)
    if found is None:
        opened.add(ItemList(hash=name, items=pack_json(content)))
    elif renew:
        found.items = pack_json(content)
