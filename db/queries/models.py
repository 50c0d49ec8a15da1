"""Models as screens and terminal show them, with their lineage."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.engine import session
from db.tables import Evaluation, Model, Parent


@dataclass(frozen=True, slots=True)
class ParentRow:
    """One constituent of a merge."""

    model_id: int
    name: str
    role: str
    weight: float


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model. `source` is an absolute folder, a Hub id, or "" for a merge not on disk."""

    id: int
    name: str
    source: str
    revision: str | None
    role: str
    domain: str | None
    method: str | None
    fingerprint: str | None
    architecture: str | None
    n_parameters: int | None
    size_bytes: int | None
    dtype: str | None
    has_chat_template: bool | None
    recipe_yaml: str | None
    recipe_hash: str | None
    note: str
    archived: bool
    created: float
    parents: tuple[ParentRow, ...]
    n_evaluations: int

    @property
    def is_merge(self) -> bool:
        """Whether the model was made by a recipe."""
        return self.role == "merge"


def models(*, archived: bool = False, role: str | None = None) -> list[ModelRow]:
    """All models in the order they were registered; archived ones only when asked for."""
    query = select(Model).order_by(Model.id)
    if not archived:
        query = query.where(Model.archived.is_(False))
    if role:
        query = query.where(Model.role == role)
    with session() as opened:
        return _rows(opened, list(opened.scalars(query)))


def model(name_or_id: str | int) -> ModelRow | None:
    """One model by its registered name or its number, archived or not; None when unknown."""
    column = Model.id if isinstance(name_or_id, int) else Model.name
    with session() as opened:
        found = list(opened.scalars(select(Model).where(column == name_or_id)))
        return _rows(opened, found)[0] if found else None


def names() -> dict[str, str]:
    """Registered name to folder or Hub id, of every model that exists somewhere to be read."""
    query = select(Model.name, Model.source).where(Model.source != "").order_by(Model.id)
    with session() as opened:
        return {name: source for name, source in opened.execute(query)}


def children(model_id: int) -> list[ModelRow]:
    """The merges that a model went into."""
    query = select(Model).join(Parent, Parent.child_id == Model.id)
    query = query.where(Parent.parent_id == model_id).order_by(Model.id)
    with session() as opened:
        return _rows(opened, list(opened.scalars(query).unique()))


def by_recipe(recipe_hash: str) -> ModelRow | None:
    """The newest merge that was made by a recipe, whatever its name."""
    query = select(Model).where(Model.recipe_hash == recipe_hash, Model.archived.is_(False))
    with session() as opened:
        found = list(opened.scalars(query.order_by(Model.source == "", Model.id.desc()).limit(1)))
        return _rows(opened, found)[0] if found else None


def _rows(opened: Session, found: list[Model]) -> list[ModelRow]:
    ids = [each.id for each in found]
    lineage: dict[int, list[ParentRow]] = {}
    joined = (
        select(Parent, Model.name)
        .join(Model, Model.id == Parent.parent_id)
        .where(Parent.child_id.in_(ids))
        .order_by(Parent.child_id, Parent.position)
    )
    for parent, name in opened.execute(joined):
        lineage.setdefault(parent.child_id, []).append(
            ParentRow(parent.parent_id, name, parent.role, parent.weight)
        )
    scored = (
        select(Evaluation.model_id, func.count())
        .where(Evaluation.model_id.in_(ids))
        .group_by(Evaluation.model_id)
    )
    n_evaluations = {model_id: number for model_id, number in opened.execute(scored)}
    own = [name for name in ModelRow.__slots__ if name not in ("parents", "n_evaluations")]
    return [
        ModelRow(
            **{name: getattr(each, name) for name in own},
            parents=tuple(lineage.get(each.id, ())),
            n_evaluations=n_evaluations.get(each.id, 0),
        )
        for each in found
    ]
