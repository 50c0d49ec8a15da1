"""How a method's score depends on its options, and how much that matters.

A curve is one method in one stage along one option that was swept (scale, density, alpha), other
swept options held fixed: a second grid dimension makes several curves. Each place on it is a mean
over the stage's merges there, that is over constituents and seeds, and has two uncertainties:

* sampling: the items are a sample. The merges of one place answered the same items, so the error
  is of the mean score *per item*, stratified by task; more merges do not make it small;
* between: the merges differ, by their constituents and by their masks. Standard deviation over
  the merges; its share in the mean's error is sd^2 / merges.

`low` and `high` are the 95 % interval of the mean from both; `lowest` and `highest` are the single
merges' range. Robustness is of the whole grid of a method in a stage, every combination of options
counting once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

import numpy as np

from studies.analysis.intervals import Estimates, Z, contrast, moments, plain
from studies.results import Floats, Results, Scored

Options = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Place:
    """One value of the option.

    Attributes:
        x: the value.
        mean: mean score over the shared tasks and the merges here.
        low: lower end of its interval.
        high: upper end.
        sampling: standard error from the items; None with one item a task.
        between_constituents: sd of the constituents' means; None with one.
        between_seeds: sd between seeds of equal constituents, pooled; None without re-drawn masks.
        lowest: of a single merge.
        highest: of a single merge.
        n: merges.
        keys: their keys.
    """

    x: float
    mean: float
    low: float | None
    high: float | None
    sampling: float | None
    between_constituents: float | None
    between_seeds: float | None
    lowest: float
    highest: float
    n: int
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Curve:
    """A method's mean score along one option.

    Attributes:
        method: name.
        stage: of the study.
        option: what is swept.
        fixed: the other swept options of the stage and their values here.
        places: by rising value.
        area: mean height, the area under the curve over its width (trapezoids); None for one place.
    """

    method: str
    stage: str
    option: str
    fixed: Options
    places: tuple[Place, ...]
    area: float | None


@dataclass(frozen=True)
class Robustness:
    """How much a method's options matter in a stage.

    Attributes:
        method: name.
        stage: of the study.
        swept: the options with more than one value.
        n_grid: combinations of options that are scored.
        n: merges.
        best: mean score of the best combination (over constituents and seeds).
        worst: of the worst.
        spread: best - worst.
        sd: standard deviation over the grid.
        noise_sd: the sd that sampling of items alone would show between equal combinations.
        beats: share of the merges above the best of their own constituents by mean score.
        beats_clearly: share above it beyond noise (95 % interval of each by itself).
        area: of the curve along the option; the mean over curves where there are several.
        area_over_best: area - mean score of the best parent, averaged over constituents.
    """

    method: str
    stage: str
    swept: tuple[str, ...]
    n_grid: int
    n: int
    best: float
    worst: float
    spread: float
    sd: float | None
    noise_sd: float | None
    beats: float | None
    beats_clearly: float | None
    area: float | None
    area_over_best: float | None


@dataclass(frozen=True)
class Sensitivity:
    """Curves, the parents beside them, and what the methods' grids come to."""

    curves: tuple[Curve, ...]
    parents: tuple[tuple[str, float], ...]
    robustness: tuple[Robustness, ...]
    n_tasks: int

    def table(self) -> list[dict[str, Any]]:
        """A row for every place of every curve."""
        return [
            {
                "method": curve.method,
                "stage": curve.stage,
                "option": curve.option,
                "fixed": ", ".join(f"{name} {value:g}" for name, value in curve.fixed),
                **{k: v for k, v in asdict(place).items() if k != "keys"},
                "keys": " ".join(place.keys),
            }
            for curve in self.curves
            for place in curve.places
        ]

    def robustness_table(self) -> list[dict[str, Any]]:
        """A row for every method and stage."""
        return [asdict(one) | {"swept": ", ".join(one.swept)} for one in self.robustness]

    def data(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {"places": self.table(), "robustness": self.robustness_table(),
                "parents": dict(self.parents), "n_tasks": self.n_tasks}  # fmt: skip


def sensitivity(results: Results) -> Sensitivity:
    """Curves and robustness of every method and stage that has a scored merge."""
    curves: list[Curve] = []
    robust: list[Robustness] = []
    leads = lead_over_best(results)
    for (stage, method), members in _families(results).items():
        swept = swept_options(members)
        mine = _curves(results, stage, method, swept, members)
        curves += mine
        robust.append(_robustness(results, stage, method, swept, members, mine, leads))
    macros = results.macros()
    parents = tuple(
        (name, float(macros[results.row[name]]))
        for name in results.parents
        if np.isfinite(macros[results.row[name]])
    )
    return Sensitivity(tuple(curves), parents, tuple(robust), int(results.shared.sum()))


def _families(results: Results) -> dict[tuple[str, str], list[Scored]]:
    """(stage, method) -> merges with a mean score."""
    macros = results.macros()
    found: dict[tuple[str, str], list[Scored]] = {}
    for one in results.points:
        if one.point is not None and np.isfinite(macros[results.row[one.key]]):
            found.setdefault((str(one.point.stage), one.point.method), []).append(one)
    return found


def swept_options(members: Sequence[Scored]) -> tuple[str, ...]:
    """Options with a number as their value that differ among some merges."""
    values: dict[str, set[float]] = {}
    for one in members:
        for name, value in options_of(one).items():
            values.setdefault(name, set()).add(value)
    return tuple(name for name, found in values.items() if len(found) > 1)


def options_of(one: Scored) -> dict[str, float]:
    """A merge's options that are numbers."""
    given = {} if one.point is None else one.point.options
    return {
        name: float(value)
        for name, value in given.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def lead_over_best(results: Results) -> tuple[Estimates, dict[str, int]]:
    """Every merge's mean score against the best of its own constituents; key -> place."""
    from studies.analysis.gains import gains

    found = gains(results)
    return found.lead, {one.key: i for i, one in enumerate(found.points)}


def _curves(
    results: Results, stage: str, method: str, swept: Sequence[str], members: Sequence[Scored]
) -> list[Curve]:
    classes: dict[tuple[str, Options], dict[float, list[Scored]]] = {}
    for option in swept:
        for one in members:
            options = options_of(one)
            if option in options:
                rest = tuple((k, options[k]) for k in swept if k != option and k in options)
                by_value = classes.setdefault((option, rest), {})
                by_value.setdefault(options[option], []).append(one)
    merges = [some for by_value in classes.values() for _, some in sorted(by_value.items())]
    if not merges:
        return []
    rows = [[results.row[one.key] for one in some] for some in merges]
    weights = np.concatenate([contrast(results, some, []) for some in rows])
    errors = iter(np.diag(moments(results, weights, paired=False).covariance))
    found = []
    for (option, rest), by_value in classes.items():
        places = tuple(
            _place(results, x, by_value[x], float(next(errors))) for x in sorted(by_value)
        )
        found.append(Curve(method, stage, option, rest, places, area_under(places)))
    return sorted(found, key=lambda curve: (swept.index(curve.option), curve.fixed))


def _place(results: Results, x: float, merges: Sequence[Scored], variance: float) -> Place:
    scores = results.macros()[[results.row[one.key] for one in merges]]
    sampling = sqrt(variance) if variance >= 0 else None
    means, within = _between(merges, scores)
    error = None
    if sampling is not None:
        spread = float(np.var(scores, ddof=1)) / len(merges) if len(merges) > 1 else 0.0
        error = Z * sqrt(sampling**2 + spread)
    mean = float(scores.mean())
    return Place(
        x=x,
        mean=mean,
        low=None if error is None else mean - error,
        high=None if error is None else mean + error,
        sampling=sampling,
        between_constituents=float(np.std(means, ddof=1)) if len(means) > 1 else None,
        between_seeds=within,
        lowest=float(scores.min()),
        highest=float(scores.max()),
        n=len(merges),
        keys=tuple(one.key for one in merges),
    )


def _between(merges: Sequence[Scored], scores: Floats) -> tuple[list[float], float | None]:
    """The constituents' means, and the pooled sd between seeds of equal constituents."""
    classes: dict[Any, list[float]] = {}
    for one, score in zip(merges, scores, strict=True):
        point = one.point
        classes.setdefault((point.constituents, point.on) if point else None, []).append(score)
    free = sum(len(some) - 1 for some in classes.values())
    squares = sum(float(np.var(some) * len(some)) for some in classes.values())
    return [float(np.mean(some)) for some in classes.values()], (
        sqrt(squares / free) if free else None
    )


def area_under(places: Sequence[Place]) -> float | None:
    """Area under the means over the width of the sweep: the mean height."""
    if len(places) < 2:
        return None
    x = np.array([one.x for one in places])
    y = np.array([one.mean for one in places])
    return float(np.trapezoid(y, x) / (x[-1] - x[0]))


def combinations(members: Sequence[Scored]) -> dict[tuple[tuple[str, str], ...], list[Scored]]:
    """Some merges by their options, whatever their constituents and seeds."""
    found: dict[tuple[tuple[str, str], ...], list[Scored]] = {}
    for one in members:
        options = {} if one.point is None else one.point.options
        key = tuple(sorted((name, repr(value)) for name, value in options.items()))
        found.setdefault(key, []).append(one)
    return found


def grid_means(results: Results, members: Sequence[Scored]) -> tuple[Floats, Floats]:
    """Mean score of each combination of options `(g,)`, and its weights `(g, models)`.

    Only combinations that all constituents have are comparable: while a study runs, the others
    wait. Where no combination is complete, all count.
    """
    classes = list(combinations(members).values())
    most = max((len(some) for some in classes), default=0)
    classes = [some for some in classes if len(some) == most]
    rows = [[results.row[one.key] for one in some] for some in classes]
    weights = np.concatenate([contrast(results, some, []) for some in rows])
    macros = results.macros()
    return np.array([macros[some].mean() for some in rows]), weights


def noise_between(covariance: Floats) -> float | None:
    """Sd over a grid of equal combinations that the items' noise alone would show.

    The expected sample variance of g values with covariance S and equal means is
    (trace S - sum S / g) / (g - 1).
    """
    g = covariance.shape[0]
    if g < 2 or not np.isfinite(covariance).all():
        return None
    return sqrt(max(0.0, (np.trace(covariance) - covariance.sum() / g) / (g - 1)))


def _robustness(
    results: Results,
    stage: str,
    method: str,
    swept: tuple[str, ...],
    members: Sequence[Scored],
    curves: Sequence[Curve],
    leads: tuple[Estimates, dict[str, int]],
) -> Robustness:
    means, weights = grid_means(results, members)
    noise = None
    if len(means) > 1:
        noise = noise_between(moments(results, weights, paired=False).covariance)
    lead, places = leads
    at = [places[one.key] for one in members if one.key in places]
    values, lows = lead.value[at], lead.low[at]
    known = np.isfinite(values)
    areas = [curve.area for curve in curves if curve.area is not None]
    area = float(np.mean(areas)) if areas else None
    macros = results.macros()[[results.row[one.key] for one in members if one.key in places]]
    best_parent = float(np.mean((macros - values)[known])) if known.any() else None
    return Robustness(
        method=method,
        stage=stage,
        swept=swept,
        n_grid=len(means),
        n=len(members),
        best=float(means.max()),
        worst=float(means.min()),
        spread=float(np.ptp(means)),
        sd=float(np.std(means, ddof=1)) if len(means) > 1 else None,
        noise_sd=noise,
        beats=plain(np.mean(values[known] > 0)) if known.any() else None,
        beats_clearly=plain(np.mean(lows[known] > 0)) if known.any() else None,
        area=area,
        area_over_best=None if area is None or best_parent is None else area - best_parent,
    )
