"""A study's pictures for a page: each analysed once for what is scored, each figure made once."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from jobs.studies import shown

if TYPE_CHECKING:
    from studies.pictures import Choice, Picture
    from studies.results import Results

Rows = list[dict[str, Any]]
_lock = threading.RLock()


@dataclass(frozen=True, eq=False)
class Drawn:
    """A picture, analysed.

    Attributes:
        picture: which.
        analysis: its numbers.
        choices: how it can be switched.
    """

    picture: Picture
    analysis: Any
    choices: Sequence[Choice]

    @cached_property
    def tables(self) -> Mapping[str, Rows]:
        """Name of a CSV -> rows."""
        return self.picture.tables(self.analysis)


def titles() -> dict[str, str]:
    """Name -> title of every picture there is."""
    from studies.pictures import PICTURES

    return {name: one.title for name, one in PICTURES.items()}


def config() -> Mapping[str, Any]:
    """Plotly's configuration."""
    from studies.pictures import CONFIG

    return CONFIG


def analysed(study_id: int, name: str) -> Drawn:
    """A picture's numbers by what is scored now.

    Raises:
        StudyError: there is no such study.
        KeyError: there is no such picture.
    """
    found = shown.results(study_id)
    with _lock:
        return _analysed(found, name)


@lru_cache(maxsize=24)
def _analysed(found: Results, name: str) -> Drawn:
    from studies.pictures import PICTURES

    picture = PICTURES[name]
    analysis = picture.analyse(found)
    return Drawn(picture, analysis, tuple(picture.choices(analysis)))


def figure(found: Drawn, theme: str, chosen: Mapping[str, str]) -> Any:
    """The figure."""
    with _lock:
        return _figure(found, theme, tuple(chosen.items()))


@lru_cache(maxsize=24)
def _figure(found: Drawn, theme: str, chosen: tuple[tuple[str, str], ...]) -> Any:
    return found.picture.figure(found.analysis, theme, **dict(chosen))


def rows_of(study_id: int, keys: Sequence[str]) -> Rows:
    """The rows of some points, in the study's order."""
    wanted = set(keys)
    return [row for row in shown.points(study_id) if row["key"] in wanted]
