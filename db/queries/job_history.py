"""Searching all jobs there have been, a page at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import TypeVar

from sqlalchemy import ColumnElement, Select, Text, case, cast, or_, select

from db.engine import session
from db.queries.jobs import JobRow, row_of
from db.tables import Job

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sought:
    """What a job is to be like; what is left out does not matter.

    Attributes:
        text: words in the title, the error or the stage, or the job's number.
        states: any of these.
        kinds: any of these.
        model: name of a model that the job reads, scores or makes.
        since: asked for at this moment or later, UTC seconds since the epoch.
        until: asked for before this moment.
    """

    text: str = ""
    states: Sequence[str] = ()
    kinds: Sequence[str] = ()
    model: str | None = None
    since: float | None = None
    until: float | None = None

    def between(self, first: date | None, last: date | None) -> Sought:
        """The same, on these days of the local calendar, both included."""
        since = _midnight(first) if first else None
        until = _midnight(last + timedelta(days=1)) if last else None
        return replace(self, since=since, until=until)


def find(sought: Sought) -> list[int]:
    """Numbers of the jobs that fit: what runs, what waits in its order, then the newest first."""
    waits = Job.state == "queued"
    query = _where(select(Job.id), sought).order_by(
        case((Job.state == "running", 0), (waits, 1), else_=2),
        case((waits, -Job.priority)),
        case((waits, Job.place)),
        case((waits, Job.id)),
        Job.id.desc(),
    )
    with session() as opened:
        return list(opened.scalars(query))


def rows(numbers: Sequence[int]) -> list[JobRow]:
    """Jobs by their numbers, in this order; one that is gone is left out."""
    with session() as opened:
        query = select(Job).where(Job.id.in_(list(numbers)))
        found = {each.id: row_of(each) for each in opened.scalars(query)}
    return [found[number] for number in numbers if number in found]


def kinds() -> list[str]:
    """The kinds of all jobs there have been."""
    with session() as opened:
        return sorted(opened.scalars(select(Job.kind).distinct()))


def _where(query: Select[T], sought: Sought) -> Select[T]:
    for word in sought.text.split():
        query = query.where(or_(*_places_of(word)))
    if sought.states:
        query = query.where(Job.state.in_(sought.states))
    if sought.kinds:
        query = query.where(Job.kind.in_(sought.kinds))
    if sought.model:
        # as it stands in JSON, in quotation marks: a name is never found in a longer one
        name = json.dumps(sought.model)
        query = query.where(
            or_(
                cast(Job.spec, Text).contains(name, autoescape=True),
                cast(Job.result, Text).contains(name, autoescape=True),
            )
        )
    if sought.since is not None:
        query = query.where(Job.created >= sought.since)
    if sought.until is not None:
        query = query.where(Job.created < sought.until)
    return query


def _places_of(word: str) -> list[ColumnElement[bool]]:
    places: list[ColumnElement[bool]] = [
        column.icontains(word, autoescape=True) for column in (Job.title, Job.error, Job.stage)
    ]
    number = word.removeprefix("#")
    if number.isascii() and number.isdecimal() and len(number) <= 18:
        places.append(Job.id == int(number))
    return places


def _midnight(day: date) -> float:
    """The local midnight at which a day begins."""
    return time.mktime(datetime(day.year, day.month, day.day).timetuple())
