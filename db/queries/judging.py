"""What judges said: reports, single judgements, and the replies they were about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from db.engine import session
from db.tables import Judgement, Judging, Model, Reply

AT_ONCE = 5_000


@dataclass(frozen=True)
class JudgingRow:
    """One judge's report on a model, or on a model beside another."""

    id: int
    model_id: int
    model_fingerprint: str
    other_id: int | None
    other_fingerprint: str | None
    set_name: str
    set_hash: str
    mode: str
    judge: str
    rubric: str
    config: dict[str, Any]
    selection: str
    summary: dict[str, Any]
    items: list[Any]
    job_id: int | None
    created: float
    model: str
    other: str | None

    @property
    def measure(self) -> tuple[str, str, str, str, str]:
        """What must be the same for two reports to be comparable."""
        limit = str(self.config.get("limit"))
        return (self.set_hash, self.mode, self.judge, self.rubric, limit)


@dataclass(frozen=True, slots=True)
class JudgementRow:
    """One answer of a judge."""

    key: str
    judge: str
    rubric: str
    state: str
    score: float | None
    verdict: str | None
    text: str


def judgings(
    *, set_name: str | None = None, model_id: int | None = None, job_id: int | None = None
) -> list[JudgingRow]:
    """The reports, the newest first."""
    query = select(Judging, Model.name).join(Model, Model.id == Judging.model_id)
    query = query.order_by(Judging.id.desc())
    for column, value in (
        (Judging.set_name, set_name), (Judging.model_id, model_id), (Judging.job_id, job_id)
    ):  # fmt: skip
        if value is not None:
            query = query.where(column == value)
    own = [name for name in JudgingRow.__dataclass_fields__ if name not in ("model", "other")]
    with session() as s:
        names = {number: name for number, name in s.execute(select(Model.id, Model.name))}
        return [
            JudgingRow(
                **{column: getattr(row, column) for column in own},
                model=name,
                other=names.get(row.other_id) if row.other_id is not None else None,
            )
            for row, name in s.execute(query)
        ]


def judgements(keys: Iterable[str]) -> dict[str, JudgementRow]:
    """Key -> what the judge said."""
    wanted = list(dict.fromkeys(keys))
    found: dict[str, JudgementRow] = {}
    with session() as s:
        for start in range(0, len(wanted), AT_ONCE):
            part = Judgement.key.in_(wanted[start : start + AT_ONCE])
            for row in s.scalars(select(Judgement).where(part)):
                found[row.key] = JudgementRow(
                    **{name: getattr(row, name) for name in JudgementRow.__slots__}
                )
    return found


def known(judge: str) -> dict[str, dict[str, Any]]:
    """Key -> state, score and verdict of everything that a judge has said."""
    j = Judgement
    with session() as s:
        rows = s.execute(select(j.key, j.state, j.score, j.verdict).where(j.judge == judge))
        return {key: {"state": a, "score": b, "verdict": c} for key, a, b, c in rows}


def replies(
    model_id: int, set_hash: str, fingerprint: str | None = None, config_hash: str | None = None
) -> list[dict[str, Any]]:
    """A model's replies to a set, of every content and way of asking unless one is named."""
    query = select(Reply).where(Reply.model_id == model_id, Reply.set_hash == set_hash)
    if fingerprint is not None:
        query = query.where(Reply.model_fingerprint == fingerprint)
    if config_hash is not None:
        query = query.where(Reply.config_hash == config_hash)
    names = ("model_fingerprint", "config_hash", "question_id", "turn", "text", "stopped")
    with session() as s:
        return [{name: getattr(row, name) for name in names} for row in s.scalars(query)]
