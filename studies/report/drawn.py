"""All pictures of a report: every way they can be switched, as JSON of light figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from studies.pictures import PICTURES, Choice
from studies.results import Results

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Drawn:
    """A picture with its figures and tables.

    Attributes:
        name: in PICTURES.
        title: for people.
        about: one sentence.
        choices: that have more than one value here.
        figures: values of the choices, joined by a line break -> figure as JSON.
        tables: name of a CSV -> rows.
    """

    name: str
    title: str
    about: str
    choices: tuple[Choice, ...]
    figures: Mapping[str, str]
    tables: Mapping[str, Rows]


def draw(results: Results) -> list[Drawn]:
    """Every picture of a study."""
    found = []
    for picture in PICTURES.values():
        analysis = picture.analyse(results)
        every = [one for one in picture.choices(analysis) if one.values]
        switched = tuple(one for one in every if len(one.reported) > 1)
        figures = {}
        for values in product(*(one.reported for one in every)):
            chosen = dict(zip((one.name for one in every), values, strict=True))
            key = "\n".join(chosen[one.name] for one in switched)
            figures[key] = picture.figure(analysis, "light", **chosen).to_json()
        tables = picture.tables(analysis)
        found.append(Drawn(picture.name, picture.title, picture.about, switched, figures, tables))
    return found
