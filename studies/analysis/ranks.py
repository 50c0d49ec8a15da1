"""Spearman's rho with a p-value that is right for few points, and for points that share a cause."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from math import atanh, factorial, sqrt, tanh
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from studies.analysis.intervals import Z
from studies.results import Floats

EXACT = 9
"""Up to so many points every order is tried: 9! is 362,880."""
DRAWS = 20_000

How = Literal["exact", "drawn", "t", "none"]


@dataclass(frozen=True)
class Spearman:
    """A rank correlation.

    Attributes:
        rho: Spearman's coefficient, -1 to 1; None for fewer than three points, or where one side
            does not vary.
        p: two-sided.
        n: points.
        how: p from every order ("exact"), from drawn orders, or from the t distribution.
        least: the smallest p that so many points without ties can give.
        low: lower end of the 95 % interval of rho (Bonett and Wright 2000); None below five points.
        high: upper end.
    """

    rho: float | None
    p: float | None
    n: int
    how: How
    least: float
    low: float | None = None
    high: float | None = None


def spearman(x: ArrayLike, y: ArrayLike, *, by_t: bool = False, seed: int = 0) -> Spearman:
    """Spearman's rho of two lists, ties at their mean rank, with a two-sided p-value.

    Up to nine points p is exact: the share of all orders of y whose |rho| is no smaller than what
    was seen. Beyond, orders are drawn (p counts the one that was seen), or, with `by_t`, p is that
    of t = rho sqrt((n - 2) / (1 - rho^2)) with n - 2 degrees of freedom, as SciPy has it.
    Pairs with a nan are left out.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    there = np.isfinite(a) & np.isfinite(b)
    a, b = ranks(a[there]), ranks(b[there])
    n = int(a.size)
    least = min(1.0, 2 / factorial(n)) if n >= 2 else 1.0
    if n < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return Spearman(None, None, n, "none", least)
    a, b = _unit(a), _unit(b)
    rho = float(np.clip(a @ b, -1.0, 1.0))
    low, high = interval(rho, n)
    if by_t:
        return Spearman(rho, _by_t(rho, n), n, "t", least, low, high)
    if n <= EXACT:
        every = a @ b[_orders(n)].T
        return Spearman(rho, float(_extreme(every, rho).mean()), n, "exact", least, low, high)
    rng = np.random.default_rng(seed)
    drawn = rng.permuted(np.broadcast_to(b, (DRAWS, n)), axis=1) @ a
    p = (int(_extreme(drawn, rho).sum()) + 1) / (DRAWS + 1)
    return Spearman(rho, p, n, "drawn", max(least, 1 / (DRAWS + 1)), low, high)


def interval(rho: float, n: int) -> tuple[float | None, float | None]:
    """95 % interval of Spearman's rho: Fisher's z with variance (1 + rho^2 / 2) / (n - 3).

    None for fewer than five points.
    """
    if n < 5:
        return None, None
    # in perfect order, one swap of neighbours less: 1 has no Fisher z
    most = 1 - 6 / (n * (n * n - 1))
    inner = max(-most, min(most, rho))
    half = Z * sqrt((1 + inner * inner / 2) / (n - 3))
    low, high = tanh(atanh(inner) - half), tanh(atanh(inner) + half)
    return min(low, rho), max(high, rho)


def ranks(values: Floats) -> Floats:
    """Ranks from 1, ties at their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    found: Floats = (last - (counts - 1) / 2)[inverse]
    return found


def _unit(values: Floats) -> Floats:
    centred = values - values.mean()
    found: Floats = centred / np.sqrt(centred @ centred)
    return found


def _extreme(drawn: Floats, seen: float) -> NDArray[np.bool_]:
    # A hair of slack: equal coefficients that differ by rounding must count as equal.
    found: NDArray[np.bool_] = np.abs(drawn) >= abs(seen) - 1e-12
    return found


@lru_cache(maxsize=2)
def _orders(n: int) -> NDArray[np.int8]:
    return np.array(list(permutations(range(n))), dtype=np.int8)


def _by_t(rho: float, n: int) -> float:
    from scipy.stats import t

    if abs(rho) >= 1:
        return 0.0
    return float(2 * t.sf(abs(rho) * sqrt((n - 2) / (1 - rho * rho)), n - 2))
