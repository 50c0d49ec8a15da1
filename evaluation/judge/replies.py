"""A model's side of the conversations of a prompt set, turn by turn."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evaluation.judge.sets import Question

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Event = dict[str, Any]
Replies = dict[tuple[str, int], str]  # (question, turn) -> what the model said

REPLIES_VERSION = 1
MAX_NEW_TOKENS = 512
PLAIN_STOPS = ("\nQuestion:", "\n質問:")
_THINKING = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)\s*", re.DOTALL)


def reply_config(*, max_new_tokens: int = MAX_NEW_TOKENS, dtype: str) -> dict[str, Any]:
    """How the questions are asked: what sets replies apart."""
    return {
        "version": REPLIES_VERSION,
        "max_new_tokens": max_new_tokens,
        "dtype": dtype,
        "chat_template": "own, else plain questions and answers",
        "sampling": "greedy",
    }


def config_hash(config: Mapping[str, Any]) -> str:
    """64 hex digits over a configuration."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[Question],
    *,
    known: Mapping[tuple[str, int], str] | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
    label: str = "the model",
) -> Iterator[Event]:
    """Answer every turn that is not answered yet, later ones after the model's own words.

    A model without a chat template is asked in plain text, "Question: ... Answer:".

    Args:
        model: in memory.
        tokenizer: its tokenizer.
        questions: the conversations.
        known: replies of earlier runs.
        max_new_tokens: of a reply.
        label: how the events call the model.

    Yields:
        stage, progress and warning events, and ``{"kind": "reply", "question_id", "turn", "text",
        "stopped"}``.

    Raises:
        EvaluationFailure: NaN, not enough memory, or a template that cannot render a conversation.
    """
    from evaluation.scoring.scorer import Scorer

    said: Replies = dict(known or {})
    warnings: list[str] = []
    scorer = Scorer(model, tokenizer, warn=warnings.append)
    chats = bool(getattr(tokenizer, "chat_template", None))
    stage = f"{label} answers"
    yield {"kind": "stage", "stage": stage}
    if not chats:
        yield {"kind": "warning", "text": f"{label} has no chat template: it is asked in plain "
               "text, as “Question: … Answer:”."}  # fmt: skip
    left = [
        [q for q in questions if turn < len(q.turns) and (q.id, turn) not in said]
        for turn in range(max(len(q.turns) for q in questions))
    ]
    total, done = sum(map(len, left)), 0
    for turn, asked in enumerate(left):
        requests = [_request(scorer, q, turn, said, chats, max_new_tokens) for q in asked]
        for answers in scorer.stream_generate_until(requests) if requests else ():
            for index, answer in answers:
                text = without_thinking(answer.text).strip()
                said[asked[index].id, turn] = text
                done += 1
                yield {"kind": "reply", "question_id": asked[index].id, "turn": turn,
                       "text": text, "stopped": answer.stopped}  # fmt: skip
            yield {"kind": "progress", "stage": stage, "done": done, "total": total,
                   "unit": "replies"}  # fmt: skip
    for text in warnings:
        yield {"kind": "warning", "text": f"{label}: {text}"}


def without_thinking(text: str) -> str:
    """A reply without what was thought aloud before it."""
    return _THINKING.sub("", text)


def _request(
    scorer: Any, question: Question, turn: int, said: Replies, chats: bool, max_new_tokens: int
) -> Any:
    from lm_eval.api.instance import Instance

    messages = []
    for place in range(turn + 1):
        messages.append({"role": "user", "content": question.turns[place]})
        if place < turn:
            messages.append({"role": "assistant", "content": said[question.id, place]})
    prompt = scorer.apply_chat_template(messages) if chats else _plain(messages)
    options: dict[str, Any] = {"until": [] if chats else list(PLAIN_STOPS)}
    options |= {"max_gen_toks": max_new_tokens, "do_sample": False}
    return Instance("generate_until", {}, (prompt, options), 0, (question.id, turn, 1))


def _plain(messages: Sequence[Mapping[str, str]]) -> str:
    names = {"user": "Question", "assistant": "Answer"}
    lines = [f"{names[one['role']]}: {one['content']}" for one in messages]
    return "\n".join([*lines, "Answer:"])
