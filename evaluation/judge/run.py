"""Judge conversations: grade one model's replies, or hold them against another's in both orders.

``judge_single`` and ``judge_pair`` are generators of events; closing one stops the judge. A
question that got no answer, or one that nobody can read, has a state of its own and no score.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evaluation.judge import rubrics, summary
from evaluation.judge.asking import Event, Judge, Known, judged
from evaluation.judge.rubrics import Ask
from evaluation.judge.sets import Question
from evaluation.judge.verdict import OK, Verdict

Replies = Mapping[tuple[str, int], str]

EMPTY, SAME = "empty", "same"
EMPTY_TEXT = "Nothing was answered: judged without asking, the lowest grade, or the pair's loser."


def judge_single(
    judge: Judge, questions: Sequence[Question], replies: Replies, known: Known
) -> Iterator[Event]:
    """Grade every turn of a model's conversations, 1 to 10.

    Args:
        judge: who.
        questions: the conversations.
        replies: the model's, all of them.
        known: answers of this judge from before.

    Yields:
        progress and judgement events, warnings, and last
        ``{"kind": "judged", "items", "summary"}``.
    """
    places = [(q, turn) for q in questions for turn in range(len(q.turns))]
    asks: list[Ask | None] = [
        rubrics.single(q, turn, _said(replies, q, turn), short=judge.short)
        if replies[q.id, turn].strip()
        else None
        for q, turn in places
    ]
    verdicts = yield from judged(judge, asks, known)
    items = []
    for (q, turn), ask, verdict in zip(places, asks, verdicts, strict=True):
        told = verdict or Verdict(EMPTY, 1.0, None, EMPTY_TEXT)
        items.append({
            "question_id": q.id, "category": q.category, "turn": turn, "state": told.state,
            "score": told.score, "keys": [judge.key(ask)] if ask else [],
            "characters": [len(replies[q.id, turn])],
        })  # fmt: skip
    yield {"kind": "judged", "items": items, "summary": summary.single(items)}


def judge_pair(
    judge: Judge, questions: Sequence[Question], ours: Replies, theirs: Replies, known: Known
) -> Iterator[Event]:
    """Compare two models' conversations turn by turn, each pair in both orders.

    Args:
        judge: who.
        questions: the conversations.
        ours: replies of the model in question.
        theirs: replies of the model it is held against.
        known: answers of this judge from before.

    Yields:
        As ``judge_single``.
    """
    places = [(q, turn) for q in questions for turn in range(len(q.turns))]
    asks: list[Ask | None] = []
    for q, turn in places:
        a, b = _said(ours, q, turn), _said(theirs, q, turn)
        empty = not a[-1].strip() or not b[-1].strip() or a == b
        asks.append(None if empty else rubrics.pair(q, turn, a, b, short=judge.short))
        asks.append(None if empty else rubrics.pair(q, turn, b, a, short=judge.short))
    verdicts = yield from judged(judge, asks, known)
    items = []
    for place, (q, turn) in enumerate(places):
        both = asks[2 * place : 2 * place + 2]
        first, second = verdicts[2 * place : 2 * place + 2]
        texts = ours[q.id, turn], theirs[q.id, turn]
        items.append({
            "question_id": q.id, "category": q.category, "turn": turn,
            "keys": [judge.key(ask) for ask in both if ask],
            "characters": [len(text) for text in texts],
            **_outcome(first, second, texts),
        })  # fmt: skip
    yield {"kind": "judged", "items": items, "summary": summary.pair(items)}


def _outcome(
    first: Verdict | None, second: Verdict | None, texts: tuple[str, str]
) -> dict[str, Any]:
    """One pair from the verdicts in both orders; a disagreement is a tie."""
    if first is None or second is None:
        a, b = bool(texts[0].strip()), bool(texts[1].strip())
        outcome = "tie" if a == b else "win" if a else "loss"
        state = EMPTY if not (a and b) else SAME
        return {"state": state, "outcome": outcome, "flipped": False, "orders": [None, None]}
    state = next((one.state for one in (first, second) if one.state != OK), OK)
    orders = [
        {"A": "win", "B": "loss", "tie": "tie"}.get(first.verdict or ""),
        {"A": "loss", "B": "win", "tie": "tie"}.get(second.verdict or ""),
    ]
    if state != OK:
        return {"state": state, "outcome": None, "flipped": None, "orders": orders}
    agreed = orders[0] == orders[1]
    return {
        "state": OK,
        "outcome": orders[0] if agreed else "tie",
        "flipped": not agreed,
        "orders": orders,
    }


def _said(replies: Replies, question: Question, turn: int) -> list[str]:
    return [replies[question.id, place] for place in range(turn + 1)]
