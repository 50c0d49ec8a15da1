"""Taking models out of the registry, or out of sight."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from db import settings
from db.engine import transaction
from db.tables import Answer, Evaluation, Model, Parent
from jobs.errors import JobError
from jobs.wording import missing


def archive(name: str, *, archived: bool = True) -> None:
    """Hide a model from the lists, or show it again; its scores stay."""
    with transaction() as opened:
        _get(opened, name).archived = archived


def delete_model(name: str, *, files: bool = False) -> None:
    """Take a model and its scores out of the registry; `files` also removes a merge's folder.

    Raises:
        JobError: unknown, or a parent of a merge that is still there.
    """
    with transaction() as opened:
        row = _get(opened, name)
        child = opened.scalar(
            select(Model.name).join(Parent, Parent.child_id == Model.id)
            .where(Parent.parent_id == row.id).limit(1)
        )  # fmt: skip
        if child is not None:
            raise JobError(
                f"“{name}” went into the merge “{child}”. Archive it instead, or delete that first."
            )
        scored = select(Evaluation.id).where(Evaluation.model_id == row.id)
        opened.execute(delete(Answer).where(Answer.evaluation_id.in_(scored)))
        opened.execute(delete(Evaluation).where(Evaluation.model_id == row.id))
        source, is_merge = row.source, row.role == "merge"
        opened.delete(row)
    folder = Path(source)
    # Only what we wrote ourselves is ever removed: a direct child of the models folder.
    if files and is_merge and folder.parent == settings.models_folder():
        shutil.rmtree(folder, ignore_errors=True)


def forget_unseen(names: Collection[str]) -> None:
    """Take Hub ids out that turned out not to be models: registered, and never once read."""
    with transaction() as opened:
        query = select(Model).where(
            Model.name.in_(names), Model.source == Model.name, Model.fingerprint.is_(None)
        )
        for row in opened.scalars(query).all():
            of = (Parent.parent_id == row.id) | (Parent.child_id == row.id)
            scored = opened.scalar(select(Evaluation.id).where(Evaluation.model_id == row.id))
            if scored is None and opened.scalar(select(Parent.child_id).where(of)) is None:
                opened.delete(row)


def _get(opened: Session, name: str) -> Model:
    row = opened.scalar(select(Model).where(Model.name == name))
    if row is None:
        raise JobError(missing(name))
    return row
