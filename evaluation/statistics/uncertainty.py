"""Uncertainty of scores and of differences between two models on the same items.

Scores are shares of 0-1 throughout; every interval is two-sided. Following Miller, "Adding Error
Bars to Evals" (arXiv:2411.00640): errors by default, clustered where items share a source, and two
models compared on *paired* differences. Needs numpy only, because pages import it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from math import comb, fsum, sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

DRAWS = 10_000
_CHUNK_NUMBERS = 4_000_000  # indices drawn at a time: bounds a bootstrap's memory to ~64 MB


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


class Difference(NamedTuple):
    """Mean of ``a - b`` over the same items, its interval, and the p-value of "no difference"."""

    difference: float
    low: float
    high: float
    p: float


class Estimate(NamedTuple):
    """A value and its standard error; None where one item or task cannot tell."""

    value: float
    stderr: float | None


def standard_error(values: ArrayLike, clusters: Sequence[Hashable] | None = None) -> float | None:
    """Standard error of the mean of per-item scores.

    Without clusters the sample standard deviation (n - 1) over sqrt(n). With clusters (items
    about the same report share a name) the cluster-robust error of arXiv:2411.00640, appendix A,
    with the finite-cluster factor G / (G - 1), so that one item per cluster gives the first form.

    Args:
        values: n per-item scores.
        clusters: n names, or None.

    Returns:
        The error, or None with fewer than two items (or clusters).

    Raises:
        ValueError: ``clusters`` and ``values`` differ in length.
    """
    x = np.asarray(values, dtype=np.float64)
    if clusters is None:
        return None if x.size < 2 else float(x.std(ddof=1) / sqrt(x.size))
    if len(clusters) != x.size:
        raise ValueError(f"{len(clusters)} cluster names were given for {x.size} items.")
    codes = {name: code for code, name in enumerate(dict.fromkeys(clusters))}
    if len(codes) < 2:
        return None
    which = np.fromiter((codes[name] for name in clusters), dtype=np.int64, count=x.size)
    sums = np.bincount(which, weights=x - x.mean(), minlength=len(codes))
    factor = len(codes) / (len(codes) - 1)
    return float(sqrt(factor * np.square(sums).sum()) / x.size)


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for a proportion (Wilson 1927).

    Stays inside 0-1 and is honest at 0 of n and n of n, where mean plus or minus two standard
    errors is not.

    Raises:
        ValueError: n < 1 or successes outside 0..n.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is not a proportion.")
    z = _z(confidence)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Interval(low, high)


def mcnemar(b: int, c: int) -> float:
    """Exact two-sided McNemar test (McNemar 1947, binomial form).

    Args:
        b: items that only the first model got right.
        c: items that only the second model got right.

    Returns:
        The p-value; 1.0 when the models never disagree.

    Raises:
        ValueError: a negative count.
    """
    if b < 0 or c < 0:
        raise ValueError(f"counts cannot be negative: {b}, {c}.")
    n = b + c
    tail = sum(comb(n, k) for k in range(min(b, c) + 1))
    return min(1.0, float(2 * tail / (1 << n)))


def paired_bootstrap(
    a: ArrayLike, b: ArrayLike, seed: int = 0, draws: int = DRAWS, confidence: float = 0.95
) -> Difference:
    """Paired bootstrap of mean(a) - mean(b) over items.

    Items are drawn with replacement, both models' scores together. The interval is the
    percentile interval; the p-value is the share of draws, centred on zero difference, at least
    as far from zero as what was seen (two-sided, +1 in numerator and denominator).

    Args:
        a: n scores of the first model.
        b: n scores of the second model, same items in the same order.
        seed: of the draws; the same seed gives the same answer.
        draws: number of resamples.
        confidence: of the interval.

    Raises:
        ValueError: different lengths or no items.
    """
    differences = _paired(a, b)
    observed = float(differences.mean())
    means = _resampled_means(differences, np.random.default_rng(seed), draws)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    # A hair of slack: equal means that differ by rounding must count as equal.
    extreme = int((np.abs(means - observed) >= abs(observed) - 1e-12).sum())
    return Difference(observed, float(low), float(high), (extreme + 1) / (draws + 1))


def paired_difference(
    a: ArrayLike, b: ArrayLike, seed: int = 0, confidence: float = 0.95
) -> Difference:
    """Compare two models on the same items with the test that fits the scores.

    Right-or-wrong scores (all 0 or 1): exact McNemar for p, and the adjusted Wald interval for
    paired proportions of Bonett and Price (2012). Anything else: ``paired_bootstrap``.

    Raises:
        ValueError: different lengths or no items.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    differences = _paired(x, y)
    if not (np.isin(x, (0.0, 1.0)).all() and np.isin(y, (0.0, 1.0)).all()):
        return paired_bootstrap(x, y, seed=seed, confidence=confidence)
    n = differences.size
    only_a, only_b = int((differences > 0).sum()), int((differences < 0).sum())
    share_a, share_b = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    half = _z(confidence) * sqrt(max(0.0, share_a + share_b - (share_a - share_b) ** 2) / (n + 2))
    centre = share_a - share_b
    return Difference(
        float(differences.mean()),
        max(-1.0, centre - half),
        min(1.0, centre + half),
        mcnemar(only_a, only_b),
    )


def holm(pvalues: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down adjustment for a family of tests, in the given order.

    An adjusted value below 0.05 is significant at 5 % over the whole family.
    """
    m = len(pvalues)
    adjusted = [0.0] * m
    highest = 0.0
    for rank, index in enumerate(sorted(range(m), key=lambda i: pvalues[i])):
        highest = max(highest, min(1.0, (m - rank) * pvalues[index]))
        adjusted[index] = highest
    return adjusted


def macro(values: Sequence[float], stderrs: Sequence[float | None] | None = None) -> Estimate:
    """Mean over tasks, each counting once, with its standard error.

    Tasks have independent items, so the error is sqrt(sum of squared errors) / number of tasks;
    None when any task's error is unknown.

    Raises:
        ValueError: no values, or another number of errors than values.
    """
    if not values:
        raise ValueError("A macro mean needs at least one task; none was given.")
    mean = fsum(values) / len(values)
    if stderrs is None:
        return Estimate(mean, None)
    if len(stderrs) != len(values):
        raise ValueError(f"{len(stderrs)} standard errors were given for {len(values)} values.")
    known = [error for error in stderrs if error is not None]
    if len(known) < len(values):
        return Estimate(mean, None)
    return Estimate(mean, sqrt(fsum(error * error for error in known)) / len(values))


def macro_bootstrap(
    tasks: Mapping[str, ArrayLike], seed: int = 0, draws: int = DRAWS, confidence: float = 0.95
) -> Interval:
    """Percentile interval of the macro mean, items drawn inside each task (stratified).

    Args:
        tasks: task -> per-item scores (or per-item differences of two models).
        seed: of the draws.
        draws: number of resamples.
        confidence: of the interval.

    Raises:
        ValueError: no tasks, or a task without items.
    """
    if not tasks:
        raise ValueError("A macro mean needs at least one task; none was given.")
    rng = np.random.default_rng(seed)
    total = np.zeros(draws)
    for task, values in sorted(tasks.items()):
        x = np.asarray(values, dtype=np.float64)
        if not x.size:
            raise ValueError(f"The task {task!r} has no items.")
        total += _resampled_means(x, rng, draws)
    low, high = np.quantile(total / len(tasks), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def minimum_detectable_difference(
    n: int,
    *,
    share: float = 0.5,
    correlation: float = 0.0,
    power: float = 0.8,
    confidence: float = 0.95,
) -> float:
    """Smallest true difference that n items find with the given power.

    (z_alpha/2 + z_power) * sqrt(2 share (1 - share) (1 - correlation) / n), the normal
    approximation for two proportions near ``share`` whose items correlate.

    Args:
        n: number of items.
        share: accuracy to expect, 0-1.
        correlation: between the two models' item scores; 0 is the cautious answer.
        power: chance of finding a true difference of the returned size.
        confidence: of the test.

    Raises:
        ValueError: n < 1.
    """
    if n < 1:
        raise ValueError("A comparison needs at least one item.")
    deviation = sqrt(2 * share * (1 - share) * (1 - correlation) / n)
    return (_z(confidence) + NormalDist().inv_cdf(power)) * deviation


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _paired(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"Paired scores must have equal length, not {x.shape} and {y.shape}.")
    if not x.size:
        raise ValueError("There are no items to compare.")
    return x - y


def _resampled_means(
    values: NDArray[np.float64], rng: np.random.Generator, draws: int
) -> NDArray[np.float64]:
    """Means of ``draws`` resamples with replacement. Returns shape (draws,)."""
    n = values.size
    distinct, counts = np.unique(values, return_counts=True)
    if distinct.size <= 16:
        # Few distinct scores: the resample's counts are multinomial, whatever n is.
        drawn = rng.multinomial(n, counts / n, size=draws)  # (draws, distinct)
        return np.asarray(drawn @ distinct / n)
    step = max(1, _CHUNK_NUMBERS // n)
    parts = [
        values[rng.integers(0, n, size=(min(step, draws - start), n))].mean(axis=1)
        for start in range(0, draws, step)
    ]
    return np.concatenate(parts)
