"""What a picture is: an analysis, figures of it, and the numbers behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from studies.results import Results

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Choice:
    """A way in which a picture can be switched, drawn as a row of buttons or a list.

    Attributes:
        name: keyword of `Picture.figure`.
        title: for people.
        values: value -> its words; the first is the default.
        report: the values that a report shows; None: all.
    """

    name: str
    title: str
    values: Mapping[str, str]
    report: tuple[str, ...] | None = None

    @property
    def default(self) -> str:
        """The first value."""
        return next(iter(self.values), "")

    @property
    def reported(self) -> tuple[str, ...]:
        """The values that a report shows."""
        return tuple(self.values) if self.report is None else self.report


def no_choices(_: Any) -> tuple[Choice, ...]:
    """For pictures that cannot be switched."""
    return ()


@dataclass(frozen=True)
class Picture:
    """One of a study's pictures.

    Attributes:
        name: key in PICTURES, and of files.
        title: for people.
        about: what it shows, in one sentence.
        analyse: results -> analysis; all that `figure`, `tables` and `choices` need.
        figure: (analysis, theme, **choices) -> Plotly figure. A mark that stands for one merge has
            its key as `customdata[0]`; one that stands for several has their keys, separated by
            spaces; one that stands for none has "". See the modules for what follows.
        tables: analysis -> name of a CSV -> rows; the first is what the picture draws.
        choices: analysis -> how it can be switched.
    """

    name: str
    title: str
    about: str
    analyse: Callable[[Results], Any]
    figure: Callable[..., Any]
    tables: Callable[[Any], Mapping[str, Rows]]
    choices: Callable[[Any], Sequence[Choice]] = field(default=no_choices)
