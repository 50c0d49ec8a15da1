"""What a parameter of a search may be: a range of numbers, or a list of values."""

from __future__ import annotations

import math
from typing import Annotated, Any

import pydantic
from pydantic import Field

from merging.recipes.slices import Strict
from search.errors import SearchError

MOST_VALUES = 200
MOST_POINTS = 12
MOST_GROUPS = 8
SLACK = 1e-9

Group = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f\[\]]+$")]


class Range(Strict):
    """Where to look for one option's value.

    Attributes:
        low: smallest number.
        high: largest number.
        step: only `low`, `low + step` ...; None for every number between.
        log: whether small numbers are looked at as closely as large ones.
        values: in place of the numbers: exactly these, in no order.
        points: so many numbers, a gradient from the first layer to the last one.
        groups: a number for the tensors of each of these filters, and one for all others.
    """

    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False
    values: tuple[bool | int | float | str, ...] | None = None
    points: Annotated[int, Field(strict=True, ge=2, le=MOST_POINTS)] | None = None
    groups: tuple[Group, ...] | None = None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        """A list is the values."""
        if isinstance(given, list | tuple):
            return {"values": tuple(given)}
        if not isinstance(given, dict | Range):
            raise SearchError(
                f"A range is {{low: 0, high: 1}} or a list of values such as [0.2, 0.5], not "
                f"{given!r:.60}.",
                "space",
            )
        return given

    def check(self, where: str) -> None:
        """Whether it can be searched at all.

        Raises:
            SearchError: naming `where`.
        """
        if self.values is not None:
            self._check_values(where)
        else:
            self._check_numbers(where)
        if self.points is not None and self.groups is not None:
            raise SearchError(f"{where} has points and groups; keep one of them.")
        if self.groups is not None:
            if not 1 <= len(self.groups) <= MOST_GROUPS:
                raise SearchError(f"{where}: give 1 to {MOST_GROUPS} groups of tensors.")
            if len(set(self.groups)) < len(self.groups):
                raise SearchError(f"{where} names a group of tensors twice; remove one.")

    def _check_values(self, where: str) -> None:
        values = self.values or ()
        if any(one is not None for one in (self.low, self.high, self.step)) or self.log:
            raise SearchError(f"{where} has values and a range of numbers; keep one of them.")
        if not values:
            raise SearchError(f"{where} is an empty list; give at least one value.")
        if len(values) > MOST_VALUES:
            raise SearchError(f"{where} has {len(values)} values; {MOST_VALUES} are the most.")
        if len({(isinstance(one, bool), one) for one in values}) < len(values):
            raise SearchError(f"{where} names a value twice; remove one.")

    def _check_numbers(self, where: str) -> None:
        if self.low is None or self.high is None:
            raise SearchError(f"{where} needs low and high, or a list of values.")
        if self.low > self.high:
            raise SearchError(
                f"{where} goes from {self.low:g} down to {self.high:g}; exchange low and high."
            )
        if self.low == self.high:
            raise SearchError(
                f"{where} has nothing to search: low and high are both {self.low:g}. Put the value "
                "into the recipe instead."
            )
        if self.step is not None and not 0 < self.step <= self.high - self.low + SLACK:
            raise SearchError(
                f"The step of {where} is {self.step:g}; it must be above 0 and fit between "
                f"{self.low:g} and {self.high:g}."
            )
        if self.log and (self.low <= 0 or self.step is not None):
            raise SearchError(f"{where} can be searched by logarithm only above 0 without a step.")

    @property
    def is_category(self) -> bool:
        """Whether its values have no order."""
        return self.values is not None

    @property
    def top(self) -> float:
        """The largest number that steps from `low` reach."""
        assert self.low is not None and self.high is not None
        if self.step is None:
            return self.high
        return self.low + math.floor((self.high - self.low) / self.step + SLACK) * self.step

    def all_values(self) -> list[Any] | None:
        """Every value, where they can be counted."""
        if self.values is not None:
            return list(self.values)
        if self.step is None or self.low is None:
            return None
        count = round((self.top - self.low) / self.step)
        return [tidy(self.low + i * self.step) for i in range(count + 1)]

    def holds(self, value: Any) -> bool:
        """Whether a value is one of those that are searched."""
        if self.values is not None:
            return any(
                type(one) is type(value) and one == value
                if isinstance(one, bool | str) or isinstance(value, bool | str)
                else math.isclose(one, value)
                for one in self.values
            )
        if isinstance(value, bool | str) or self.low is None or self.high is None:
            return False
        if not self.low - SLACK <= value <= self.top + SLACK:
            return False
        if self.step is None:
            return True
        steps = (value - self.low) / self.step
        return abs(steps - round(steps)) < 1e-6

    @property
    def n_values(self) -> int | None:
        """How many values one of its parameters may have; None where that is no number."""
        found = self.all_values()
        return None if found is None else len(found)

    def to_data(self) -> Any:
        """As short as it may be written."""
        data = self.model_dump(mode="json", exclude_none=True)
        if not data.get("log"):
            data.pop("log", None)
        return data["values"] if set(data) == {"values"} else data


def tidy(value: float) -> float:
    """A number without the dust of computing it: five significant digits."""
    return float(f"{value:.5g}")
