"""Does it take similar parents to make a good merge? Similarity of pairs against their merges.

The paper plots L2 distance and cosine of the models before merging against Macro-Gain and Macro-OG
of the merge, with Spearman's rho (arXiv:2511.02451, Figure 5). Whether its cosine is of raw weights
or of task vectors is not known, so both are here, labelled. The base has no task vector, so pairs
of base and expert have L2 and the cosine of raw weights only; L2 is the same for weights and task
vectors, because the base drops out of the difference.

The unit is the *pair*: all merges of a pair share one similarity, so they are one observation, and
p-values that count each as one of its own are too small. A pair's Gain is the mean over its
merges, or that of the merge chosen on the search items. p is exact up to nine pairs. n pairs can
never give less than 2 / n!: three experts make three pairs, whose smallest p is 0.33, and with the
three pairs of base and expert six. Pairs that share a parent are still related, which no
permutation of pairs takes account of: take a p near 0.05 as weaker than it looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from studies.analysis.chosen import best
from studies.analysis.gains import Gains, gains
from studies.analysis.intervals import LEVEL, plain
from studies.analysis.ranks import Spearman, spearman
from studies.results import BASE, Results, Scored
from studies.vectors import MEASURES

Which = Literal["experts", "all"]
OF = {"macro_gain": "Macro-Gain", "macro_og": "Macro-OG"}


@dataclass(frozen=True)
class Dot:
    """One merge of a pair of parents.

    Attributes:
        key: of the merge.
        label: of the merge.
        first: parent.
        second: parent.
        method: of the merge.
        measures: similarity of the two parents.
        macro_gain: of the merge.
        macro_og: of the merge.
        chosen: whether it is its pair's best on the items for choosing.
    """

    key: str
    label: str
    first: str
    second: str
    method: str
    measures: Mapping[str, float]
    macro_gain: float | None
    macro_og: float | None
    chosen: bool


@dataclass(frozen=True)
class Test:
    """Spearman's rho of a measure against a figure of the pairs' merges.

    Attributes:
        measure: key in `studies.vectors.MEASURES`.
        of: "macro_gain" or "macro_og".
        pairs: "experts": pairs of experts only; "all": those of base and expert, too.
        by: "mean" over a pair's merges, or its "chosen" one.
        result: rho, p, n and interval.
        said: what so many pairs can show.
    """

    measure: str
    of: str
    pairs: Which
    by: Literal["mean", "chosen"]
    result: Spearman
    said: str


@dataclass(frozen=True)
class SimilarityGains:
    """Dots and tests."""

    dots: tuple[Dot, ...]
    tests: tuple[Test, ...]

    def test(self, measure: str, of: str, pairs: Which = "all", by: str = "mean") -> Test | None:
        """One of the tests; None where the measure is not there."""
        for one in self.tests:
            if (one.measure, one.of, one.pairs, one.by) == (measure, of, pairs, by):
                return one
        return None

    def table(self) -> list[dict[str, Any]]:
        """A row for every merge of a pair."""
        return [
            {k: v for k, v in asdict(one).items() if k != "measures"}
            | {key: one.measures.get(key) for key in MEASURES}
            for one in self.dots
        ]

    def test_table(self) -> list[dict[str, Any]]:
        """A row for every test."""
        return [
            {"measure": one.measure, "title": MEASURES[one.measure], "against": OF[one.of],
             "pairs": one.pairs, "by": one.by, **asdict(one.result), "said": one.said}
            for one in self.tests
        ]  # fmt: skip

    def data(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {"dots": self.table(), "tests": self.test_table()}


def similarity(results: Results) -> SimilarityGains:
    """Similarity of each pair of parents against the gains of its merges.

    Stage 2 merges are of two experts, stage 1 merges of base and expert. Empty where nobody
    compared the parents.
    """
    if not results.similarity:
        return SimilarityGains((), ())
    dots = _dots(results, gains(results))
    wanted: list[tuple[Which, list[Dot]]] = [
        ("all", dots),
        ("experts", [one for one in dots if one.first != BASE]),
    ]
    tests = [
        _test(some, measure, of, which, by)
        for measure in MEASURES
        for of in OF
        for which, some in wanted
        for by in ("mean", "chosen")
        if any(measure in one.measures for one in some)
    ]
    return SimilarityGains(tuple(dots), tuple(tests))


def _dots(results: Results, found: Gains) -> list[Dot]:
    place = {one.key: i for i, one in enumerate(found.points)}
    by_pair: dict[tuple[str, str], list[Scored]] = {}
    for one in found.points:
        keys = found.constituents[place[one.key]]
        if one.point is not None and str(one.point.stage) in ("1", "2") and len(keys) == 2:
            by_pair.setdefault((keys[0], keys[1]), []).append(one)
    dots = []
    for pair, merges in by_pair.items():
        measures = of_pair(results, *pair)
        pick = best(results, merges)
        if measures is None:
            continue
        for one in merges:
            i = place[one.key]
            method = "" if one.point is None else one.point.method
            gain, gap = plain(found.macro_gain.value[i]), plain(found.macro_gap.value[i])
            chosen = pick is not None and pick.model.key == one.key
            dots.append(Dot(one.key, one.label, *pair, method, measures, gain, gap, chosen))
    return dots


def of_pair(results: Results, first: str, second: str) -> Mapping[str, float] | None:
    """The measures of two parents, whichever comes first; None where there are none."""
    known = results.similarity or {}
    return known.get((first, second)) or known.get((second, first))


def _test(
    dots: list[Dot], measure: str, of: str, which: Which, by: Literal["mean", "chosen"]
) -> Test:
    pairs: dict[tuple[str, str], list[float]] = {}
    x: dict[tuple[str, str], float] = {}
    for one in dots:
        value = getattr(one, of)
        if value is not None and measure in one.measures and (by == "mean" or one.chosen):
            pairs.setdefault((one.first, one.second), []).append(value)
            x[(one.first, one.second)] = one.measures[measure]
    found = spearman(
        [x[pair] for pair in pairs], [float(np.mean(values)) for values in pairs.values()]
    )
    return Test(measure, of, which, by, found, _said(found))


def _said(found: Spearman) -> str:
    n = found.n
    if found.rho is None:
        return f"{n} pair{'s have' if n != 1 else ' has'} no rank correlation."
    if found.least >= LEVEL:
        return f"{n} pairs cannot show a correlation: perfect order gives p = {found.least:.2g}."
    if found.low is not None and found.high is not None:
        return f"{n} pairs; rho may be anything from {found.low:+.2f} to {found.high:+.2f}."
    return f"{n} pairs."
