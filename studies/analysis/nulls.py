"""How many right answers luck alone gives: the three nulls that emergence is held against.

Each is over a *pool* of items that nobody whom the merge comes from has right. See `emergence` for
what they mean; here is their arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from studies.results import Floats

Marks = NDArray[np.int64]


def by_chance(right: Marks, pool: int, chance: float | None) -> Floats:
    """P(at least so many right by guessing), Binomial(pool, chance), for each of `right` `(r,)`.

    nan where chance is not known or 0: where answers are written freely, "never right by guessing"
    is no null, for one lucky word would prove a skill.
    """
    if not chance or not pool:
        return np.full(right.shape, np.nan)
    from scipy.special import bdtrc

    tail = bdtrc(np.maximum(right - 1, 0).astype(np.float64), pool, chance)
    found: Floats = np.where(right > 0, tail, 1.0)
    return found


def by_relatives(merges: Marks, controls: Marks) -> Floats:
    """P(at least so many right) if a merge were one more of its controls.

    With x the merge's answer on an item and t of K controls right, the null says that the K + 1
    models are exchangeable on every item. Given T = t + x of them are right, the merge is one of
    the T with probability T / (K + 1): so the number of items that it has right is
    Poisson-binomial given all T. Conditioning on T leaves no difficulty to be estimated.

    Args:
        merges: `(r, pool)`, 0 or 1.
        controls: `(K, pool)`, 0 or 1.

    Returns:
        `(r,)`; nan without controls or without items.
    """
    n_controls, pool = controls.shape
    if not n_controls or not pool:
        return np.full(merges.shape[0], np.nan)
    share = (controls.sum(axis=0) + merges) / (n_controls + 1)
    return tail_of_sum(share, merges.sum(axis=1))


def against(merges: Marks, other: Marks) -> Floats:
    """Exact one-sided McNemar tests of merges `(r, pool)` against one other `(pool,)`: `(r,)`.

    Small where a merge has items right that the other has wrong, and few the other way round.
    """
    from scipy.special import bdtrc

    won = (merges * (1 - other)).sum(axis=1).astype(np.float64)
    lost = ((1 - merges) * other).sum(axis=1)
    tail = bdtrc(np.maximum(won - 1, 0), won.astype(np.int64) + lost, 0.5)
    found: Floats = np.where(won > 0, tail, 1.0)
    return found


def tail_of_sum(p: Floats, at_least: Marks) -> Floats:
    """P(S >= k) for sums S of independent 0-1 variables, row by row; exact.

    Args:
        p: `(r, n)` probabilities of 1.
        at_least: `(r,)` k.

    Returns:
        `(r,)`.
    """
    found = np.ones(at_least.shape, dtype=np.float64)
    rows = np.flatnonzero(at_least > 0)
    if not rows.size:
        return found
    p, most = p[rows], int(at_least.max())
    below = np.zeros((rows.size, most))  # P(S = j) for j < most
    below[:, 0] = 1.0
    for column in np.flatnonzero(p.any(axis=0)):
        q = p[:, column, None]
        moved = below[:, :-1] * q
        below *= 1 - q
        below[:, 1:] += moved
    inside = np.arange(most) < at_least[rows, None]
    found[rows] = np.clip(1 - (below * inside).sum(axis=1), 0.0, 1.0)
    return found


def by_redrawing(draws: Sequence[Marks], strata: Sequence[Marks]) -> tuple[float, float, float]:
    """Do merges that differ only in their masks have the *same* items right?

    The null is that each draw's right items are a random choice of as many in every stratum. The
    statistic is the number of items that two draws share, summed over pairs of draws; under the
    null each pair's is hypergeometric. Pairs with a draw in common are independent two by two, so
    their sum is taken as a convolution: exact for two draws, nearly so for more.

    Args:
        draws: per task `(draws, pool)`, 0 or 1.
        strata: per task `(pool,)`, any integers.

    Returns:
        Shared items, the number expected, and P(at least so many); p nan where no draw has any
        item right in a stratum that could be shared.
    """
    shared, expected, pmf = 0.0, 0.0, np.ones(1)
    for marks, stratum in zip(draws, strata, strict=True):
        for one in np.unique(stratum):
            inside = marks[:, stratum == one]
            size = inside.shape[1]
            for a, b in combinations(range(len(inside)), 2):
                first, second = int(inside[a].sum()), int(inside[b].sum())
                shared += float((inside[a] * inside[b]).sum())
                expected += first * second / size
                if first and second:
                    pmf = np.convolve(pmf, _hypergeometric(size, first, second))
    if pmf.size == 1:
        return shared, expected, float("nan")
    return shared, expected, float(min(1.0, max(0.0, pmf[round(shared) :].sum())))


@lru_cache(maxsize=20_000)
def _hypergeometric(size: int, first: int, second: int) -> Floats:
    """P(j in common) of two random subsets, j = 0 .. min(first, second)."""
    from scipy.special import gammaln

    j = np.arange(min(first, second) + 1)
    rest = size - first - second + j

    def choose(n: Floats, k: Floats) -> Floats:
        found: Floats = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
        return found

    possible = rest >= 0
    j_ = np.where(possible, j, 0).astype(np.float64)
    free = np.where(possible, second - j, 0).astype(np.float64)
    log = (
        choose(np.full(j.size, float(first)), j_)
        + choose(np.full(j.size, float(size - first)), np.minimum(free, size - first))
        - choose(np.array(float(size)), np.array(float(second)))
    )
    pmf = np.where(possible, np.exp(log), 0.0)
    found: Floats = pmf / pmf.sum()
    return found


def sidak(p: Floats) -> Floats:
    """P of the smallest of independent p-values `(r, tests)`, row by row; nan are left out."""
    there = np.isfinite(p)
    smallest = np.where(there, p, 1.0).min(axis=1, initial=1.0)
    n = there.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = -np.expm1(n * np.log1p(-smallest))
    return np.where(n > 0, found, np.nan)
