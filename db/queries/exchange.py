"""What leaves for other programs: whole scores with their configuration and every answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select

from db.engine import session
from db.tables import Answer, Evaluation, Model, Prompt

SCORE = ("id", "suite", "task", "domain", "task_version", "metric", "value", "stderr", "n",
         "missing", "truncated", "higher_is_better", "left_out", "config", "config_hash",
         "prompts_hash", "seconds", "model_fingerprint", "created")  # fmt: skip
ANSWER = ("doc_id", "doc_hash", "prompt_hash", "target", "output", "extracted", "choices", "score",
          "correct", "stopped", "state")  # fmt: skip


def scores(evaluation_ids: Iterable[int]) -> list[dict[str, Any]]:
    """These scores with the model's name, in the order of the ids."""
    ids = list(dict.fromkeys(evaluation_ids))
    columns = [getattr(Evaluation, name) for name in SCORE]
    query = select(Model.name, *columns).join(Model, Model.id == Evaluation.model_id)
    with session() as opened:
        rows = opened.execute(query.where(Evaluation.id.in_(ids)))
        found = {row[1]: dict(zip(("model", *SCORE), row, strict=True)) for row in rows}
    return [found[one] for one in ids if one in found]


def answers(evaluation_id: int) -> list[dict[str, Any]]:
    """Every answer of a score with its prompt, by number of the item."""
    columns = [getattr(Answer, name) for name in ANSWER]
    query = (
        select(Prompt.text, *columns)
        .join(Prompt, Prompt.hash == Answer.prompt_hash)
        .where(Answer.evaluation_id == evaluation_id)
        .order_by(Answer.doc_id)
    )
    with session() as opened:
        return [dict(zip(("prompt", *ANSWER), row, strict=True)) for row in opened.execute(query)]
