"""A search before it starts: how many trials, what they take, what they can tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.statistics import planning


@dataclass(frozen=True)
class SearchPlan:
    """What a search takes.

    Attributes:
        trials: how many there are to be.
        done: that are scored already.
        known: known good points that are tried first; `outside` of them lie not in the space.
        parameters: names of what is searched.
        combinations: points of the space, None where they cannot be counted.
        choosing: task -> items of a trial; None where nobody knows.
        reporting: what the held-out items can tell.
        lanes: processes at once.
        seconds: about, None where nothing is known.
        basis: where the time comes from.
        warnings: a sentence each.
    """

    trials: int
    done: int
    known: int
    outside: int
    parameters: tuple[str, ...]
    combinations: int | None
    choosing: Mapping[str, int | None]
    reporting: planning.Plan
    lanes: int
    seconds: float | None
    basis: str
    warnings: tuple[str, ...] = ()

    @property
    def items(self) -> int:
        """Items that a trial is asked, as far as they are known."""
        return sum(n for n in self.choosing.values() if n is not None)

    @property
    def left(self) -> int:
        """Trials that are still to be made."""
        return max(0, self.trials - self.done)

    def to_mapping(self) -> dict[str, Any]:
        """The plan as plain data."""
        data = asdict(self)
        del data["reporting"]
        return data | {
            "parameters": list(self.parameters),
            "warnings": list(self.warnings),
            "items": self.items,
            "reported_items": sum(self.reporting.items.values()),
            "detectable": self.reporting.mean,
        }
