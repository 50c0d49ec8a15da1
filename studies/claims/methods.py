"""Claims on the methods: task arithmetic is strong but sensitive, TIES is robust."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from merging.methods import get_method
from studies.analysis.chosen import best_by, groups
from studies.analysis.intervals import LEVEL, contrast, moments
from studies.analysis.sensitivity import combinations, options_of, swept_options
from studies.claims import words
from studies.claims.finding import FINANCE, MATTERS, Claim, Effect, Finding, Verdict
from studies.claims.merging import n_items
from studies.results import Floats, Results, Scored

SUM, TIES = "task_arithmetic", "ties"

STRONG = Claim(
    "task_arithmetic",
    "Task arithmetic gives the largest improvements but depends strongly on its scale",
    FINANCE,
    "mean score of task arithmetic's best merges - of the best of the other methods",
    "two paired tests over all items: against the other methods, and its best against its worst "
    "option; the larger p",
)
ROBUST = Claim(
    "ties",
    "TIES is steadier than task arithmetic",
    FINANCE,
    "(best - worst option) of task arithmetic - the same of TIES",
    "paired by item; best and worst option of each chosen on the items for choosing",
)


@dataclass(frozen=True)
class Ends:
    """The best and the worst option of a method, over everything that it was tried on.

    Attributes:
        weights: `(1, models)` of mean(best) - mean(worst).
        best: its options that were swept, in words.
        worst: of the worst.
        swept: names of what was swept and its range, in words.
        n: options compared.
        penalty: what p-values are to be multiplied by: 1 with a split.
    """

    weights: Floats
    best: str
    worst: str
    swept: str
    n: int
    penalty: int


def task_arithmetic_claim(results: Results) -> Finding:
    """Is task arithmetic above the other methods, and its best option far above its worst?"""
    against = _against_others(results)
    ends = ends_of(results, SUM)
    if against is None:
        return STRONG.unknown(
            "Task arithmetic and another method are not scored on the same models, so there is "
            "nothing to compare it with."
        )
    if ends is None:
        return STRONG.unknown("Task arithmetic was tried at one scale only, so its dependence on "
                              "the scale cannot be seen.")  # fmt: skip
    spread = _spread(results, "spread of task arithmetic", ends.weights, ends.penalty)
    sure = all(one.value > 0 and one.p < LEVEL for one in (against, spread))
    refuted = against.refuted or against.value < 0 and against.p < LEVEL or spread.refuted
    verdict: Verdict = "supported" if sure else "not supported" if refuted else "cannot tell"
    decisive = Effect(against.name, against.value, against.low, against.high,
                      max(against.p, spread.p), against.n, max(against.p, spread.p))  # fmt: skip
    return STRONG.found(
        verdict,
        f"Against the best of the other methods task arithmetic stands at {words.effect(against)}; "
        f"{ends.best} is {words.effect(spread)} above {ends.worst} ({ends.swept}).",
        decisive,
        [against, spread],
    )


def ties_claim(results: Results) -> Finding:
    """Is TIES' best option less far above its worst than task arithmetic's?"""
    ours, theirs = ends_of(results, TIES), ends_of(results, SUM)
    if ours is None or theirs is None:
        lacking = "TIES" if ours is None else "Task arithmetic"
        return ROBUST.unknown(f"{lacking} has not two options scored on the same models, so how "
                              "much they matter cannot be compared.")  # fmt: skip
    penalty = max(ours.penalty, theirs.penalty)
    effect = _spread(results, "difference of spreads", theirs.weights - ours.weights, penalty)
    steady, loose = (
        _spread(results, name, one.weights, one.penalty)
        for name, one in (("spread of TIES", ours), ("spread of task arithmetic", theirs))
    )
    verdict: Verdict = "cannot tell"
    if effect.value > 0 and effect.p < LEVEL:
        verdict = "supported"
    elif effect.refuted:
        verdict = "not supported"
    return ROBUST.found(
        verdict,
        f"Between the best and the worst option TIES varies by {words.effect(steady)} "
        f"({ours.swept}), task arithmetic by {words.effect(loose)} ({theirs.swept}): a difference "
        f"of {words.effect(effect)}. Wider grids would spread wider.",
        effect,
        [effect, steady, loose],
    )


def _spread(results: Results, name: str, weights: Floats, penalty: int) -> Effect:
    value, low, high, p = moments(results, weights).estimate()
    p = min(1.0, p * penalty)
    return Effect(name, value, low, high, p, n_items(results), p)


def _against_others(results: Results) -> Effect | None:
    """Mean over groups of task arithmetic's best merge - the best merge of the other methods."""
    weights, n_groups, penalty = np.zeros((1, len(results.models))), 0, 1
    for group, members in groups(results).items():
        if group[0] == "instruct":
            continue
        found = best_by(results, members, lambda one: "ours" if _method(one) == SUM else "theirs")
        if len(found) == 2:
            weights += contrast(results, [found["ours"].row], [found["theirs"].row])
            penalty = max(penalty, found["ours"].penalty * found["theirs"].penalty)
            n_groups += 1
    if not n_groups:
        return None
    return _spread(results, "against other methods", weights / n_groups, penalty)


def _method(one: Scored) -> str:
    return "" if one.point is None else one.point.method


def ends_of(results: Results, method: str) -> Ends | None:
    """The best and the worst option of a method; None where there are no two to compare.

    Of the stages that were swept, not of those that only take the best options of the one before;
    and of the options that all models were merged with.
    """
    design = results.design
    members = [
        one for one in results.points
        if one.point is not None and one.point.method == method
        and one.point.stage != "instruct" and not design.is_carried(one.point.stage)
        and np.isfinite(results.macros()[results.row[one.key]])
    ]  # fmt: skip
    classes = list(combinations(members).values())
    most = max((len(some) for some in classes), default=0)
    classes = [some for some in classes if len(some) == most]
    if len(classes) < 2:
        return None
    macros = results.macros("search")
    means = [float(macros[[results.row[one.key] for one in some]].mean()) for some in classes]
    rows = [[results.row[one.key] for one in classes[i]]
            for i in (int(np.argmax(means)), int(np.argmin(means)))]  # fmt: skip
    swept = swept_options([some[0] for some in classes])
    n = len(classes)
    return Ends(
        weights=contrast(results, rows[0], rows[1]),
        best=_named(results.models[rows[0][0]], swept),
        worst=_named(results.models[rows[1][0]], swept),
        swept=_range([some[0] for some in classes], swept),
        n=n,
        penalty=1 if results.has_split else n * (n - 1) // 2,
    )


def _named(one: Scored, swept: Sequence[str]) -> str:
    options = options_of(one)
    told = ", ".join(f"{name} {options[name]:g}" for name in swept if name in options)
    return told or get_method(_method(one)).title


def _range(some: Sequence[Scored], swept: Sequence[str]) -> str:
    parts = []
    for name in swept:
        values = sorted({options_of(one)[name] for one in some})
        parts.append(f"{name} {values[0]:g} to {values[-1]:g}")
    return ", ".join(parts) or words.count(len(some), "option")


__all__ = ["MATTERS", "ends_of", "task_arithmetic_claim", "ties_claim"]
