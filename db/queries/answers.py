"""Answers, item by item: paired sums for statistics, the answer sheet, and one item in full."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Integer, column, func, select, values
from sqlalchemy.orm import aliased

from db.engine import session
from db.tables import Answer, Evaluation, Prompt

PAIRS_AT_ONCE = 400  # two bound values each: far below SQLite's limit of 32,766


@dataclass(frozen=True, slots=True)
class PairedSums:
    """Sums over the items that two evaluations share, of d = first's score - second's."""

    n: int
    total: float
    squares: float

    @property
    def mean(self) -> float:
        """Mean difference per item."""
        return self.total / self.n

    @property
    def variance_of_mean(self) -> float:
        """Squared standard error of `mean`, from the sample variance; infinite for one item."""
        if self.n < 2:
            return float("inf")
        spread = max(self.squares - self.total * self.total / self.n, 0.0)
        return spread / (self.n - 1) / self.n


@dataclass(frozen=True, slots=True)
class Mark:
    """One answer as the sheet shows it."""

    evaluation_id: int
    doc_id: int
    doc_hash: str
    score: float
    correct: bool | None
    extracted: str | None
    state: str | None = None
    """right, wrong, missing or truncated; None where the metric is a matter of degree."""


@dataclass(frozen=True)
class FullAnswer:
    """One answer with everything that was kept."""

    evaluation_id: int
    doc_id: int
    doc_hash: str
    prompt: str
    target: str
    output: str
    extracted: str | None
    choices: list[dict[str, Any]] | None
    score: float
    correct: bool | None
    state: str | None = None


def paired_sums(pairs: Iterable[tuple[int, int]]) -> dict[tuple[int, int], PairedSums]:
    """(evaluation, other evaluation) -> sums over the items both answered.

    An item is the same when its number and its content are. Pairs that share no item, or whose
    answers were not kept, are left out.
    """
    wanted = list(dict.fromkeys(pairs))
    found: dict[tuple[int, int], PairedSums] = {}
    for start in range(0, len(wanted), PAIRS_AT_ONCE):
        found.update(_paired_sums(wanted[start : start + PAIRS_AT_ONCE]))
    return found


def _paired_sums(pairs: Sequence[tuple[int, int]]) -> dict[tuple[int, int], PairedSums]:
    # As a CTE, because SQLite cannot name the columns of VALUES in any other place.
    given = values(column("one", Integer), column("two", Integer), name="given")
    asked = given.data(list(pairs)).cte("asked")
    one, two = aliased(Answer), aliased(Answer)
    d = one.score - two.score
    query = (
        select(asked.c.one, asked.c.two, func.count(), func.sum(d), func.sum(d * d))
        .select_from(asked)
        .join(one, one.evaluation_id == asked.c.one)
        .join(
            two,
            (two.evaluation_id == asked.c.two)
            & (two.doc_id == one.doc_id)
            & (two.doc_hash == one.doc_hash),
        )
        .group_by(asked.c.one, asked.c.two)
    )
    with session() as s:
        return {(a, b): PairedSums(n, total, sq) for a, b, n, total, sq in s.execute(query)}


def marks(evaluation_ids: Iterable[int]) -> list[Mark]:
    """Every answer of these evaluations, light enough for thousands of items."""
    ids = list(dict.fromkeys(evaluation_ids))
    a = Answer
    query = (
        select(a.evaluation_id, a.doc_id, a.doc_hash, a.score, a.correct, a.extracted, a.state)
        .where(a.evaluation_id.in_(ids))
        .order_by(a.doc_id)
    )
    with session() as s:
        return [Mark(*row) for row in s.execute(query)]


def lower_is_better(evaluation_ids: Iterable[int]) -> set[int]:
    """Those of the evaluations whose metric is the better the lower it is."""
    ids = list(dict.fromkeys(evaluation_ids))
    e = Evaluation
    with session() as s:
        return set(s.scalars(select(e.id).where(e.id.in_(ids), ~e.higher_is_better)))


def scores_by_item(evaluation_ids: Iterable[int]) -> dict[int, dict[tuple[int, str], float]]:
    """Evaluation -> (item number, item content's hash) -> score."""
    found: dict[int, dict[tuple[int, str], float]] = {}
    for mark in marks(evaluation_ids):
        found.setdefault(mark.evaluation_id, {})[mark.doc_id, mark.doc_hash] = mark.score
    return found


def item(evaluation_ids: Iterable[int], doc_id: int) -> list[FullAnswer]:
    """What these evaluations answered to one item, prompts included."""
    a = Answer
    query = (
        select(
            a.evaluation_id, a.doc_id, a.doc_hash, Prompt.text, a.target, a.output, a.extracted,
            a.choices, a.score, a.correct, a.state,
        )
        .join(Prompt, Prompt.hash == a.prompt_hash)
        .where(a.evaluation_id.in_(list(evaluation_ids)), a.doc_id == doc_id)
    )  # fmt: skip
    with session() as s:
        return [FullAnswer(*row) for row in s.execute(query)]


def configs(evaluation_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Evaluation -> the configuration it was scored under."""
    e = Evaluation
    with session() as s:
        rows = s.execute(select(e.id, e.config).where(e.id.in_(list(evaluation_ids))))
        return {evaluation_id: dict(config or {}) for evaluation_id, config in rows}
