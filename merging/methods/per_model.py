"""Options that may have one value for all constituents or a value of their own for each."""

from __future__ import annotations

from collections.abc import Sequence

# the options schema knows it as a number; what the method gets may be K of them
PerModel = float | Sequence[float]


def each(value: PerModel, count: int) -> list[float]:
    """The option's value for each of `count` constituents.

    Raises:
        ValueError: there are several values, but not one per constituent.
    """
    values = [value] * count if isinstance(value, int | float) else list(value)
    if len(values) != count:
        raise ValueError(f"{len(values)} values for {count} models")
    return values
