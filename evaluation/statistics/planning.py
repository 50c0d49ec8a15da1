"""Before a run: how small a difference can the chosen number of items tell from noise?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum, sqrt

from evaluation.statistics.uncertainty import minimum_detectable_difference

CORRELATION = 0.35
"""Between two models' scores on the same items: the median over 1,275 pairs of 51 language models
on one financial benchmark. Merges of the same parents agree more often, so this is cautious."""

FEWEST = 6
"""Items below which the exact McNemar test can't reach 5 %: 2 * 0.5 ** 5 is 6 %."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run can tell. Differences are shares (0.1 is 10 points).

    Attributes:
        items: task -> items that will be asked, for the tasks where the number is known.
        unknown: the other tasks.
        mean: smallest detectable difference of the mean over the tasks; None when no task's
            number of items is known.
        tasks: task -> the same for that task alone; None where no difference can be told.
    """

    items: Mapping[str, int]
    unknown: tuple[str, ...]
    mean: float | None
    tasks: Mapping[str, float | None]

    @property
    def fewest(self) -> int:
        """Items of the smallest task."""
        return min(self.items.values(), default=0)


def detectable(n: int) -> float | None:
    """Smallest difference that n items tell from noise (paired, 80 % power, 5 % two-sided).

    None where there is none: too few items for any result to be significant.
    """
    if n < FEWEST:
        return None
    found = minimum_detectable_difference(n, correlation=CORRELATION)
    return found if found < 1 else None


def plan(counts: Mapping[str, int | None]) -> Plan:
    """What a run over tasks of so many items can tell; None for an unknown number.

    The mean over tasks weighs each alike, so its variance is the sum of theirs over their squared
    number. Tasks of an unknown number of items are left out of it.
    """
    items = {task: n for task, n in counts.items() if n}
    squares = [minimum_detectable_difference(n, correlation=CORRELATION) ** 2
               for n in items.values()]  # fmt: skip
    mean = sqrt(fsum(squares)) / len(squares) if squares else None
    if sum(items.values()) < FEWEST or (mean is not None and mean >= 1):
        mean = None
    return Plan(
        items=items,
        unknown=tuple(task for task, n in counts.items() if n is None),
        mean=mean,
        tasks={task: detectable(n) for task, n in items.items()},
    )
