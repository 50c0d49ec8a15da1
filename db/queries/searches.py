"""Searches for the best recipe, as the pages list them. Their trials are in Optuna's tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from db.engine import session
from db.tables import Search


@dataclass(frozen=True, slots=True)
class SearchRow:
    """A search; `chosen` is what is reported on the held-out items, None before that."""

    id: int
    name: str
    design: dict[str, Any]
    design_hash: str
    storage: str
    group: str | None
    chosen: dict[str, Any] | None
    note: str
    archived: bool
    created: float


def searches(*, archived: bool = False) -> list[SearchRow]:
    """All searches, the newest first."""
    query = select(Search).order_by(Search.created.desc(), Search.id.desc())
    if not archived:
        query = query.where(Search.archived.is_(False))
    with session() as opened:
        return [_row(one) for one in opened.scalars(query)]


def search(ref: int | str) -> SearchRow | None:
    """A search by its number or its name."""
    same = Search.id == ref if isinstance(ref, int) else Search.name == ref
    with session() as opened:
        row = opened.scalar(select(Search).where(same))
        return None if row is None else _row(row)


def of_group(group: str) -> SearchRow | None:
    """The search whose newest press made this group of jobs."""
    with session() as opened:
        row = opened.scalar(select(Search).where(Search.group == group))
        return None if row is None else _row(row)


def _row(row: Search) -> SearchRow:
    return SearchRow(**{name: getattr(row, name) for name in SearchRow.__slots__})
