"""Intervals, tests and corrections for whole tables at once.

The closed forms of `evaluation.statistics.uncertainty` over arrays: a page shows twenty thousand
cells, which is no place for a bootstrap each. nan stands for what is not known, in and out.

The variance of a mean paired difference d over n items is Bonett and Price's (2012): one invented
item in each direction, so N = n + 2,

    var = ((sum d^2 + 2) / N - (sum d / N)^2) / N,

which keeps the interval honest where all items of a small task happen to agree. Tasks have items
of their own, so the variance of a mean over T tasks is the sum of theirs over T^2 (stratified).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from studies.results import Floats, Part, Results

Z = NormalDist().inv_cdf(0.975)
LEVEL = 0.05
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Estimates:
    """Values with 95 % intervals and p-values of "is zero"; arrays of one shape, nan if unknown.

    Attributes:
        value: the estimates.
        low: lower ends.
        high: upper ends.
        p: two-sided, each cell by itself.
        holm: the same after Holm's correction over the whole array.
    """

    value: Floats
    low: Floats
    high: Floats
    p: Floats
    holm: Floats

    @property
    def clear(self) -> Mask:
        """Where the interval excludes zero, each cell by itself."""
        return (self.low > 0) | (self.high < 0)

    @property
    def sure(self) -> Mask:
        """Where zero is excluded after the correction."""
        return self.holm < LEVEL

    def at(self, *index: Any) -> Estimates:
        """A part of the table, corrected anew over what is in it."""
        cut = replace(self, value=self.value[index], low=self.low[index], high=self.high[index],
                      p=self.p[index])  # fmt: skip
        return replace(cut, holm=holm(cut.p))

    def row(self, index: Any, prefix: str = "") -> dict[str, float | bool | None]:
        """One cell as plain data."""
        return {
            f"{prefix}value": plain(self.value[index]),
            f"{prefix}low": plain(self.low[index]),
            f"{prefix}high": plain(self.high[index]),
            f"{prefix}p": plain(self.p[index]),
            f"{prefix}p_holm": plain(self.holm[index]),
            f"{prefix}clear": bool(self.low[index] > 0 or self.high[index] < 0),
            f"{prefix}sure": bool(self.holm[index] < LEVEL),
        }


class Ratio(NamedTuple):
    """A ratio with Fieller's 95 % interval."""

    value: float
    low: float
    high: float


class Moments(NamedTuple):
    """Means `(k,)` of some combinations of models and their covariance from items `(k, k)`.

    `limit` is 1 where all scores are shares, which no interval need go beyond.
    """

    values: Floats
    covariance: Floats
    limit: float = np.inf

    def estimate(self, which: int = 0) -> tuple[float, float, float, float]:
        """Value, low, high and two-sided p of one of them; nan where it is not known."""
        value, variance = float(self.values[which]), float(self.covariance[which, which])
        half = Z * sqrt(variance) if variance >= 0 else np.nan
        p = float(p_of_z(np.array([value]), np.array([variance]))[0])
        if not np.isfinite(half):
            return value, np.nan, np.nan, p
        return value, max(-self.limit, value - half), min(self.limit, value + half), p


def sums(differences: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    """n, sum and sum of squares of each row, over what is not nan."""
    d = np.asarray(differences, dtype=np.float64)
    there = np.isfinite(d)
    if not there.all():
        d = np.where(there, d, 0.0)
    n = there.sum(axis=1).astype(np.float64)
    return n, d.sum(axis=1), np.einsum("ij,ij->i", d, d)


def variance_of(n: Floats, total: Floats, squares: Floats) -> Floats:
    """Variance of mean paired differences, see above; nan without items."""
    size = n + 2
    found = ((squares + 2) / size - np.square(total / size)) / size
    return np.where(n > 0, found, np.nan)


def wald(value: Floats, centre: Floats, variance: Floats, p: Floats | None = None) -> Estimates:
    """Estimates of centre +- z sd around values; p by the same normal unless given."""
    half = Z * np.sqrt(variance)
    tested = p_of_z(centre, variance) if p is None else p
    return Estimates(value, centre - half, centre + half, tested, holm(tested))


def p_of_z(value: Floats, variance: Floats) -> Floats:
    """Two-sided p of a normal value of that variance; nan where it has none."""
    from scipy.special import ndtr

    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.abs(value) / np.sqrt(variance)
    z = np.where((variance == 0) & (value == 0), 0.0, z)
    found: Floats = 2 * ndtr(-z)
    return found


def mcnemar(only_first: ArrayLike, only_second: ArrayLike) -> Floats:
    """Exact two-sided McNemar tests, elementwise; see `uncertainty.mcnemar`."""
    from scipy.special import bdtr

    b, c = np.asarray(only_first, dtype=np.float64), np.asarray(only_second, dtype=np.float64)
    tail = 2 * bdtr(np.minimum(b, c), (b + c).astype(np.int64), 0.5)
    found: Floats = np.minimum(1.0, tail)
    return found


def holm(p: ArrayLike) -> Floats:
    """Holm's adjustment over all values that are not nan, in the given shape."""
    values = np.asarray(p, dtype=np.float64)
    flat = values.ravel()
    there = np.flatnonzero(np.isfinite(flat))
    order = there[np.argsort(flat[there], kind="stable")]
    adjusted = np.full(flat.shape, np.nan)
    scaled = flat[order] * np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return adjusted.reshape(values.shape)


def fieller(
    above: float, below: float, var_above: float, var_below: float, covariance: float
) -> Ratio | None:
    """Above / below with Fieller's (1954) interval; for correlated normal estimates.

    The interval is {r: (above - r below)^2 <= z^2 var(above - r below)}. It is bounded only where
    `below` itself is not zero beyond noise.

    Returns:
        None where `below` is not above zero at 5 %: the ratio means nothing then.
    """
    if not below > 0:
        return None
    a = below**2 - Z**2 * var_below
    if not a > 0:
        return None
    b = above * below - Z**2 * covariance
    c = above**2 - Z**2 * var_above
    root = sqrt(max(0.0, b * b - a * c))
    return Ratio(above / below, (b - root) / a, (b + root) / a)


def moments(
    results: Results,
    weights: Floats,
    tasks: Mask | None = None,
    part: Part = "report",
    *,
    paired: bool = True,
) -> Moments:
    """Means over tasks of linear combinations of models, with their covariance over items.

    Args:
        results: of the study.
        weights: `(k, models)`, each row a combination: +1 and -1 for a difference.
        tasks: `(tasks,)`; default all shared ones.
        part: of the items.
        paired: whether the combinations are differences, which get Bonett and Price's two items.

    Returns:
        nan for a combination that uses a model which lacks one of the tasks. Metrics that are no
        means of items come in with their own standard errors, as if the models' were independent.
    """
    columns = np.flatnonzero(results.shared if tasks is None else tasks)
    k = weights.shape[0]
    limit = 1.0 if results.bounded else np.inf
    values, covariance = np.full(k, np.nan), np.full((k, k), np.nan)
    lacking = ~np.isfinite(results.scores(part)[:, columns]).all(axis=1)
    # a merge under way lacks tasks, which must not cost the others their items
    whole = np.flatnonzero(~((weights != 0) & lacking).any(axis=1))
    if columns.size and whole.size:
        known = _summed(results, weights[whole], columns, part, paired=paired)
        values[whole], covariance[np.ix_(whole, whole)] = known
    return Moments(values, covariance, limit)


def _summed(
    results: Results, weights: Floats, columns: NDArray[np.int64], part: Part, *, paired: bool
) -> tuple[Floats, Floats]:
    """Means and covariance of combinations of models that have all of these tasks."""
    used = np.flatnonzero(np.any(weights != 0, axis=0))
    mix = weights[:, used]
    k = weights.shape[0]
    values, covariance = np.zeros(k), np.zeros((k, k))
    for column in columns:
        task = results.tasks[column]
        if task.by_item:
            one = _of_items(results.items(task.name)[used][:, task.mask(part)], mix, paired=paired)
        else:
            errors = np.array([results.models[i].stderrs.get(task.name, np.nan) for i in used])
            one = Moments(mix @ results.scores(part)[used, column], (mix * errors**2) @ mix.T)
        values += one.values
        covariance += one.covariance
    return values / columns.size, covariance / columns.size**2


def _of_items(x: NDArray[np.float32], mix: Floats, *, paired: bool) -> Moments:
    """Of one task: x `(models, n)`, mix `(k, models)`."""
    asked = np.isfinite(x).all(axis=0)
    d = mix @ x[:, asked].astype(np.float64)  # (k, n)
    k, n = d.shape
    if not n or (n < 2 and not paired):
        return Moments(d.mean(axis=1) if n else np.full(k, np.nan), np.full((k, k), np.nan))
    if not paired:
        return Moments(d.mean(axis=1), np.atleast_2d(np.cov(d)) / n)
    size = n + 2
    total = d.sum(axis=1) / size
    return Moments(
        d.mean(axis=1), ((d @ d.T + 2 * np.eye(k)) / size - np.outer(total, total)) / size
    )


def contrast(results: Results, plus: Sequence[int], minus: Sequence[int]) -> Floats:
    """`(1, models)` weights of mean(plus) - mean(minus)."""
    weights = np.zeros((1, len(results.models)))
    np.add.at(weights[0], list(plus), 1 / len(plus))
    if minus:
        np.add.at(weights[0], list(minus), -1 / len(minus))
    return weights


def plain(value: Any) -> float | None:
    """A number as JSON can hold it; None for nan and infinity."""
    number = float(value)
    return number if np.isfinite(number) else None
