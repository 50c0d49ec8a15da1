"""Comparisons of scored models: differences with intervals, Gain and Outperform Gap.

Composes what the database has with the statistics of `evaluation`. Everything is on the metric's
own scale (0-1 for accuracy) and computed only from tasks that were scored under the very same
configuration. Imports no torch: pages call it while they draw.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, inf, sqrt
from statistics import NormalDist

from db.queries import answers
from db.queries.answers import PairedSums
from db.queries.board import Row, Score
from db.queries.metrics import is_share
from evaluation.statistics.uncertainty import Difference, holm, paired_difference, wilson
from jobs.scores.estimate import Estimate

CONFIDENCE = 0.95
Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
PAIRED_ITEMS = 120_000  # answers read for one draw of the leaderboard: some tenths of a second

_Pair = tuple[tuple[int, float], tuple[int, float]]
_sums: dict[_Pair, PairedSums | None] = {}


@dataclass(frozen=True)
class MacroDifference(Estimate):
    """Mean over the common tasks of row - baseline, with a 95 % interval where one is known."""

    n_tasks: int
    paired: bool
    """The interval is of differences on the same items; otherwise of two independent scores."""


@dataclass(frozen=True)
class TaskDifference:
    """One task of a paired comparison. `p_holm` is corrected over all tasks compared at once.

    `difference` is in the metric's own direction; the verdict, `fixed` and `regressed` say what is
    better.
    """

    task: str
    domain: str
    metric: str
    higher_is_better: bool
    score: float
    baseline: float
    difference: float
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    n: int
    fixed: int
    regressed: int

    @property
    def verdict(self) -> str:
        """As `MacroDifference.verdict`, by the Holm-corrected p-value at 5 %."""
        if self.p_holm is None:
            return "unknown"
        if self.p_holm >= 0.05:
            return "noise"
        return "better" if (self.difference > 0) is self.higher_is_better else "worse"

    @property
    def is_share(self) -> bool:
        """On the scale from 0 to 1: said in points."""
        return is_share(self.metric)


def macro_differences(pairs: Sequence[tuple[Row, Row]]) -> list[MacroDifference | None]:
    """Row - baseline for each pair, None where the two share no task that can be averaged.

    The first pairs, up to `PAIRED_ITEMS` answers, get paired intervals; the rest get the wider
    interval of two independent scores, so that a board of any length draws in bounded time. What
    was paired before costs nothing: each further draw pairs as many more.
    """
    left = PAIRED_ITEMS
    wanted: list[tuple[Row, Row]] = []
    for row, baseline in pairs:
        left -= sum(
            row.scores[t].n
            for t in row.common_averaged(baseline)
            if (_identity(row, t), _identity(baseline, t)) not in _sums
        )
        if left < 0:
            break
        wanted.append((row, baseline))
    _load_sums(wanted)
    return [
        _macro_difference(row, baseline, paired=i < len(wanted))
        for i, (row, baseline) in enumerate(pairs)
    ]


def task_differences(row: Row, baseline: Row) -> list[TaskDifference]:
    """Every common task, paired by item: exact McNemar (or bootstrap) and Holm over the tasks."""
    tasks = row.common_tasks(baseline)
    ids = [r.scores[t].evaluation_id for t in tasks for r in (row, baseline)]
    items = answers.scores_by_item(ids)
    found = [_task_difference(task, row, baseline, items) for task in tasks]
    tested = [d.p for d in found if d.p is not None]
    corrected = iter(holm(tested))
    return [
        d if d.p is None else TaskDifference(**{**d.__dict__, "p_holm": next(corrected)})
        for d in found
    ]


def forget() -> None:
    """Drop the sums kept from earlier draws."""
    _sums.clear()


def _identity(row: Row, task: str) -> tuple[int, float]:
    # The time is part of it because a database may give a deleted evaluation's number again.
    score = row.scores[task]
    return (score.evaluation_id, score.created)


def _load_sums(pairs: Iterable[tuple[Row, Row]]) -> None:
    wanted = {
        (_identity(row, task), _identity(baseline, task))
        for row, baseline in pairs
        for task in row.common_averaged(baseline)
    }
    fresh = [pair for pair in wanted if pair not in _sums]
    if len(_sums) + len(fresh) > 200_000:
        _sums.clear()
        fresh = list(wanted)
    found = answers.paired_sums((one[0], two[0]) for one, two in fresh)
    for one, two in fresh:
        _sums[one, two] = found.get((one[0], two[0]))


def _macro_difference(row: Row, baseline: Row, *, paired: bool) -> MacroDifference | None:
    tasks = row.common_averaged(baseline)
    if not tasks:
        return None
    value = fsum(row.scores[t].value - baseline.scores[t].value for t in tasks) / len(tasks)
    sums = [_sums.get((_identity(row, t), _identity(baseline, t))) for t in tasks]
    paired = paired and all(s is not None for s in sums)
    if paired:
        variances = [_adjusted_variance(s) for s in sums if s is not None]
    else:
        variances = [_independent_variance(row, baseline, t) for t in tasks]
    half = Z * sqrt(fsum(variances)) / len(tasks) if inf not in variances else None
    if half is None:
        return MacroDifference(value, None, None, len(tasks), paired)
    return MacroDifference(value, value - half, value + half, len(tasks), paired)


def _adjusted_variance(sums: PairedSums) -> float:
    # Bonett and Price (2012): one invented item each way keeps the interval honest when all
    # items of a small task happen to agree.
    n = sums.n + 2
    return (((sums.squares + 2) / n) - (sums.total / n) ** 2) / n


def _independent_variance(row: Row, baseline: Row, task: str) -> float:
    ours, theirs = row.scores[task].stderr, baseline.scores[task].stderr
    return inf if ours is None or theirs is None else ours**2 + theirs**2


def _task_difference(
    task: str,
    row: Row,
    baseline: Row,
    items: Mapping[int, Mapping[tuple[int, str], float]],
) -> TaskDifference:
    ours, theirs = row.scores[task], baseline.scores[task]
    a, b = items.get(ours.evaluation_id, {}), items.get(theirs.evaluation_id, {})
    shared = [place for place in a if place in b]
    x, y = [a[place] for place in shared], [b[place] for place in shared]
    test: Difference | None = paired_difference(x, y) if shared else None
    higher = ours.higher_is_better
    spans = test is not None and (ours.in_means or (is_mean(ours, x) and is_mean(theirs, y)))
    above, below = (
        sum(i > j for i, j in zip(x, y, strict=True)),
        sum(i < j for i, j in zip(x, y, strict=True)),
    )
    return TaskDifference(
        task=task,
        domain=ours.domain,
        metric=ours.metric,
        higher_is_better=higher,
        score=ours.value,
        baseline=theirs.value,
        difference=ours.value - theirs.value,
        low=test.low if test and spans else None,
        high=test.high if test and spans else None,
        p=test.p if test else None,
        p_holm=None,
        n=len(shared),
        fixed=above if higher else below,
        regressed=below if higher else above,
    )


def is_mean(score: Score, items: Sequence[float]) -> bool:
    """Whether a score is the mean of its items, so that an interval of theirs is one of it.

    A perplexity is not: its items tell whether there is a difference, and not how large it is.
    """
    return bool(items) and abs(fsum(items) / len(items) - score.value) <= 1e-6 * max(
        1.0, abs(score.value)
    )


def score_interval(score: Score) -> tuple[float, float] | None:
    """95 % interval of one score: Wilson's for a share of right answers, else value ± 1.96 SE."""
    hits = score.value * score.n
    if score.n > 1 and abs(hits - round(hits)) < 1e-6 and 0 <= score.value <= 1:
        # Scores of 0 and 1 alone have a standard error that their mean determines.
        binary = sqrt(score.value * (1 - score.value) / (score.n - 1))
        if score.stderr is None or abs(score.stderr - binary) < 0.02 * binary + 1e-6:
            span = wilson(round(hits), score.n, CONFIDENCE)
            return (span.low, span.high)
    if score.stderr is None:
        return None
    return (score.value - Z * score.stderr, score.value + Z * score.stderr)
