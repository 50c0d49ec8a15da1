"""What each expert lost against the base, and what share of it the stage-1 merge brought back.

Per domain of the suite that is not the expert's own, and over the general tasks together (domain
"general", or else every domain that is no expert's, chat aside):

    lost = base - expert          share = (merge - expert) / (base - expert)

Both are means over the domain's tasks, paired by item. The share is a ratio of two correlated
estimates, so its interval is Fieller's; it is undefined where the loss itself is not above zero
beyond noise, because then there is nothing to bring back. Above 1 the merge beats the base.

Beside it stands what the merge kept of the expert's own gain, (merge - base) / (expert - base):
at a scale near zero a merge *is* the base and has recovered all, for the price of all it learned,
and at scale 1 it may be the expert, which has recovered nothing. So an expert's stage-1 merges are
represented by the one with the best general score among those that keep at least KEEPS of the
expert's own gain, both on the items for choosing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from studies.analysis.chosen import Pick, best
from studies.analysis.intervals import (
    Mask,
    Moments,
    Ratio,
    fieller,
    holm,
    moments,
    plain,
)
from studies.results import BASE, CHAT_DOMAINS, Results, Scored

GENERAL = "general tasks"
KEEPS = 0.8
"""Of the expert's own gain, by the merge that stands for its recovery; a rule of thumb."""


@dataclass(frozen=True)
class Forgetting:
    """An expert against the base in a domain. Numbers are differences of mean scores.

    Attributes:
        expert: its domain.
        domain: of the tasks; GENERAL for all general tasks together.
        own: whether the domain is the expert's own, in which it should have gained.
        general: whether its tasks are general ones.
        n_tasks: tasks.
        base: score of the base.
        score: of the expert.
        lost: base - expert; below zero is a gain.
        low: lower end of its 95 % interval.
        high: upper end.
        p: two-sided, of "nothing was lost".
        p_holm: over all experts and foreign domains (own domains by themselves).
    """

    expert: str
    domain: str
    own: bool
    general: bool
    n_tasks: int
    base: float
    score: float
    lost: float
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None


@dataclass(frozen=True)
class Recovered:
    """What a stage-1 merge brought back in a domain.

    Attributes:
        key: of the merge.
        label: of the merge.
        expert: domain of its expert.
        domain: of the tasks; GENERAL for all general tasks together.
        method: of the merge.
        chosen: whether it stands for the expert's recovery, see above.
        score: of the merge.
        back: merge - expert.
        back_low: lower end of its 95 % interval.
        back_high: upper end.
        back_p: two-sided.
        share: of what was lost; None where nothing was lost beyond noise.
        share_low: Fieller's lower end.
        share_high: upper end.
        kept: share of the expert's own gain that the merge keeps; None where there was none.
        kept_low: Fieller's lower end.
        kept_high: upper end.
    """

    key: str
    label: str
    expert: str
    domain: str
    method: str
    chosen: bool
    score: float
    back: float
    back_low: float | None
    back_high: float | None
    back_p: float | None
    share: float | None
    share_low: float | None
    share_high: float | None
    kept: float | None
    kept_low: float | None
    kept_high: float | None


@dataclass(frozen=True)
class Recovery:
    """What was forgotten, and what came back."""

    forgotten: tuple[Forgetting, ...]
    recovered: tuple[Recovered, ...]

    def of(self, expert: str, domain: str = GENERAL) -> Forgetting | None:
        """What an expert lost in a domain."""
        found = (one for one in self.forgotten if (one.expert, one.domain) == (expert, domain))
        return next(found, None)

    def best(self, expert: str, domain: str = GENERAL) -> Recovered | None:
        """What an expert's chosen stage-1 merge brought back in a domain."""
        for one in self.recovered:
            if one.chosen and (one.expert, one.domain) == (expert, domain):
                return one
        return None

    def table(self) -> list[dict[str, Any]]:
        """A row for every expert and domain."""
        return [asdict(one) for one in self.forgotten]

    def recovered_table(self) -> list[dict[str, Any]]:
        """A row for every stage-1 merge and domain."""
        return [asdict(one) for one in self.recovered]

    def data(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {"forgotten": self.table(), "recovered": self.recovered_table()}


def recovery(results: Results) -> Recovery:
    """Forgetting of every scored expert; recovery by every scored merge of stage 1."""
    if BASE not in results.row:
        return Recovery((), ())
    forgotten, recovered = [], []
    for expert in results.experts:
        merges = [one for one in results.points if _is_stage_one(one, expert)]
        pick = recovering(results, expert)
        chosen = set() if pick is None else {pick.model.key}
        own = results.tasks_of([expert])
        kept = shares(results, merges, own, BASE, expert) if own.any() else [None] * len(merges)
        for domain, tasks in _domains(results):
            lost = _forgetting(results, expert, domain, tasks)
            forgotten.append(lost)
            if not lost.own:
                recovered += _recovered(results, expert, domain, tasks, merges, kept, chosen)
    return Recovery(_corrected(forgotten), tuple(recovered))


def recovering(results: Results, expert: str) -> Pick | None:
    """The stage-1 merge that stands for an expert's recovery; None where none is scored.

    Where no merge keeps enough of the expert's gain, or there is no gain, the one with the best
    mean score.
    """
    merges = [one for one in results.points if _is_stage_one(one, expert)]
    own, rows = results.tasks_of([expert]), [results.row[one.key] for one in merges]
    fallback = best(results, merges)
    if fallback is None or BASE not in results.row or expert not in results.row or not own.any():
        return fallback
    learned = results.macros("search", own)
    base, full = learned[results.row[BASE]], learned[results.row[expert]]
    enough = learned[rows] >= base + KEEPS * (full - base)
    general = np.where(enough, results.macros("search", results.general)[rows], np.nan)
    if not full > base or not np.isfinite(general).any():
        return fallback
    place = int(np.nanargmax(general))
    return replace(fallback, model=merges[place], row=rows[place])


def _domains(results: Results) -> list[tuple[str, Mask]]:
    """The general tasks together, then each other domain; chat is not what an expert forgets."""
    general = results.general
    named = [(one, results.tasks_of([one])) for one in results.domains if one not in CHAT_DOMAINS]
    # a domain that is all of the general tasks would be told, and corrected for, twice
    others = [one for one in named if not np.array_equal(one[1], general)]
    return [one for one in [(GENERAL, general), *others] if one[1].any()]


def _is_stage_one(one: Scored, expert: str) -> bool:
    return one.point is not None and one.point.stage == "1" and expert in one.point.constituents


def _weights(results: Results, combinations: Sequence[dict[str, float]]) -> np.ndarray:
    weights = np.zeros((len(combinations), len(results.models)))
    for row, one in enumerate(combinations):
        for key, weight in one.items():
            weights[row, results.row[key]] += weight
    return weights


def _forgetting(results: Results, expert: str, domain: str, tasks: Mask) -> Forgetting:
    found = moments(results, _weights(results, [{BASE: 1.0, expert: -1.0}]), tasks)
    value, low, high, p = found.estimate()
    scores = results.macros(tasks=tasks)
    return Forgetting(
        expert=expert,
        domain=domain,
        own=domain == expert,
        general=bool((tasks & results.general).sum() == tasks.sum()),
        n_tasks=int(tasks.sum()),
        base=float(scores[results.row[BASE]]),
        score=float(scores[results.row[expert]]),
        lost=value,
        low=plain(low),
        high=plain(high),
        p=plain(p),
        p_holm=None,
    )


def _corrected(found: Sequence[Forgetting]) -> tuple[Forgetting, ...]:
    adjusted: dict[int, float | None] = {}
    for own in (True, False):
        places = [i for i, one in enumerate(found) if one.own is own]
        tests = [found[i].p for i in places]
        p = holm([np.nan if one is None else one for one in tests])
        adjusted |= {i: plain(value) for i, value in zip(places, p, strict=True)}
    return tuple(
        Forgetting(**(asdict(one) | {"p_holm": adjusted[i]})) for i, one in enumerate(found)
    )


def shares(
    results: Results, merges: Sequence[Scored], tasks: Mask, zero: str, one: str
) -> list[Ratio | None]:
    """Where each merge stands between two models, 0 at `zero` and 1 at `one`, with intervals.

    None where `one` is not above `zero` beyond noise, or a score is lacking.
    """
    combinations = [{one: 1.0, zero: -1.0}]
    combinations += [_difference(each.key, zero) for each in merges]
    found = moments(results, _weights(results, combinations), tasks)
    return [_ratio(found, i + 1) for i in range(len(merges))]


def _difference(first: str, second: str) -> dict[str, float]:
    return {} if first == second else {first: 1.0, second: -1.0}


def _ratio(found: Moments, i: int) -> Ratio | None:
    values, c = found.values, found.covariance
    if not (np.isfinite(values[[0, i]]).all() and np.isfinite(c[[0, 0, i], [0, i, i]]).all()):
        return None
    return fieller(values[i], values[0], c[i, i], c[0, 0], c[0, i])


def _recovered(
    results: Results,
    expert: str,
    domain: str,
    tasks: Mask,
    merges: Sequence[Scored],
    kept: Sequence[Ratio | None],
    chosen: set[str],
) -> list[Recovered]:
    back = shares(results, merges, tasks, expert, BASE)
    combinations = [{one.key: 1.0, expert: -1.0} for one in merges]
    if not merges:
        return []
    steps = moments(results, _weights(results, combinations), tasks)
    scores = results.macros(tasks=tasks)
    rows = []
    for i, (one, share, own) in enumerate(zip(merges, back, kept, strict=True)):
        value, low, high, p = steps.estimate(i)
        score = scores[results.row[one.key]]
        if not np.isfinite(score) or one.point is None:
            continue
        rows.append(
            Recovered(
                key=one.key,
                label=one.label,
                expert=expert,
                domain=domain,
                method=one.point.method,
                chosen=one.key in chosen,
                score=float(score),
                back=value,
                back_low=plain(low),
                back_high=plain(high),
                back_p=plain(p),
                share=share.value if share else None,
                share_low=share.low if share else None,
                share_high=share.high if share else None,
                kept=own.value if own else None,
                kept_low=own.low if own else None,
                kept_high=own.high if own else None,
            )
        )
    return rows
