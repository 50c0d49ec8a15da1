"""Signs of failure as they are kept with the evaluations, and the replies they are read off."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select

from db.engine import session
from db.tables import Answer, Evaluation, Prompt

AT_ONCE = 5_000  # numbers in one statement: SQLite takes 32,766


def kept(evaluation_ids: Iterable[int]) -> dict[int, dict[str, Any] | None]:
    """Evaluation -> what was found in its answers; None where nobody has looked."""
    ids = list(dict.fromkeys(evaluation_ids))
    found: dict[int, dict[str, Any] | None] = {}
    with session() as s:
        for start in range(0, len(ids), AT_ONCE):
            part = ids[start : start + AT_ONCE]
            query = select(Evaluation.id, Evaluation.signatures).where(Evaluation.id.in_(part))
            found.update({number: data for number, data in s.execute(query)})
    return found


def replies(evaluation_id: int) -> list[dict[str, Any]]:
    """The generated replies of an evaluation with their prompts, by item."""
    a = Answer
    query = (
        select(a.doc_id, Prompt.text, a.output, a.target, a.stopped, a.stray, a.choices)
        .join(Prompt, Prompt.hash == a.prompt_hash)
        .where(a.evaluation_id == evaluation_id)
        .order_by(a.doc_id)
    )
    names = ("doc_id", "prompt", "output", "target", "stopped", "stray", "choices")
    with session() as s:
        return [dict(zip(names, row, strict=True)) for row in s.execute(query)]


def asked_in_chat(evaluation_id: int) -> bool:
    """Whether an evaluation's questions were put with a chat template."""
    with session() as s:
        found = s.scalar(select(Evaluation.config).where(Evaluation.id == evaluation_id))
    return bool((found or {}).get("chat_template"))


def outputs(evaluation_id: int, doc_ids: Sequence[int]) -> dict[int, str]:
    """Item -> what was said to it, of some items of an evaluation."""
    a = Answer
    query = select(a.doc_id, a.output).where(
        a.evaluation_id == evaluation_id, a.doc_id.in_(list(doc_ids))
    )
    with session() as s:
        return {doc_id: output for doc_id, output in s.execute(query)}
