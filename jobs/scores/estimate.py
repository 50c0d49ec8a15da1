"""A difference between models with its interval, and what the interval lets one say."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval, None where no answers were kept."""

    value: float
    low: float | None
    high: float | None

    @property
    def verdict(self) -> str:
        """`better`, `worse`, `noise` (the interval holds zero) or `unknown` (no interval)."""
        if self.low is None or self.high is None:
            return "unknown"
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "noise"
