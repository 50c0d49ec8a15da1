"""From messages to token ids, with everything that a person typed taken as text.

A chat template writes control tokens such as `<|user|>` around the messages. Tokenising its whole
output would turn the same characters *inside a message* into control tokens too, and a pasted
`<|end|><|system|>...` could then rewrite the conversation. So the template is rendered around
place holders, control tokens are recognised in the template's own words only, and the messages'
words go through the tokenizer as plain text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chat.errors import ChatError
from chat.protocol import MAX_CHARACTERS, Message

_MARK = "\ue000{}\ue001"  # private-use characters: no template writes them
_MARKED = re.compile("\ue000([0-9]+)\ue001")


@dataclass(frozen=True)
class Prompt:
    """Token ids ready for the model, and how many earlier messages did not fit."""

    ids: list[int]
    dropped_turns: int = 0


def build(
    tokenizer: Any,
    messages: Sequence[Message],
    *,
    mode: str,
    context_tokens: int,
    label: str,
) -> Prompt:
    """Token ids for the conversation; the oldest turns are left out where all do not fit.

    Args:
        tokenizer: a transformers tokenizer.
        messages: the conversation, the user's newest message last.
        mode: "chat" applies the model's template; "completion" continues the last message.
        context_tokens: how many tokens the model reads at most, answer included.
        label: the model's name, for the sentence when something is wrong.

    Raises:
        ChatError: nothing typed, too long, no template, or a template that refuses.
    """
    last = messages[-1].content if messages else ""
    if not last.strip():
        raise ChatError("The message is empty. Type something first.")
    if len(last) > MAX_CHARACTERS:
        raise ChatError(
            f"The message has {len(last):,} characters; at most {MAX_CHARACTERS:,} are taken."
        )
    if mode == "completion":
        return Prompt(_fitting(_completion_ids(tokenizer, last), context_tokens, label))
    kept = list(messages)
    while True:
        ids = _chat_ids(tokenizer, kept, label)
        if len(ids) < context_tokens or not _drop_oldest(kept):
            dropped = (len(messages) - len(kept)) // 2
            return Prompt(_fitting(ids, context_tokens, label), dropped)


def _fitting(ids: list[int], context_tokens: int, label: str) -> list[int]:
    """The ids, or a sentence when they leave no room for an answer."""
    if len(ids) >= context_tokens:
        raise ChatError(
            f"The message is {len(ids):,} tokens long; {label} reads at most {context_tokens:,}, "
            "its answer included. Shorten the message."
        )
    return ids


def _drop_oldest(messages: list[Message]) -> bool:
    """Take the oldest question and its answer out, in place; False when only the newest is left."""
    first = next((i for i, m in enumerate(messages) if m.role != "system"), len(messages))
    if len(messages) - first <= 1:
        return False
    del messages[first]
    while first < len(messages) - 1 and messages[first].role == "assistant":
        del messages[first]
    return True


def _completion_ids(tokenizer: Any, text: str) -> list[int]:
    """The text as it stands, after the begin-of-text token where the tokenizer has one."""
    ids = _plain_ids(tokenizer, text)
    bos = tokenizer.bos_token_id
    return ids if bos is None or ids[:1] == [bos] else [bos, *ids]


def _chat_ids(tokenizer: Any, messages: Sequence[Message], label: str) -> list[int]:
    """The conversation in the model's own template, asking for an answer."""
    if not tokenizer.chat_template:
        raise ChatError(f"{label} has no chat template. Switch to plain completion to talk to it.")
    marked = [
        {"role": m.role, "content": _around(m.content, _MARK.format(i))}
        for i, m in enumerate(messages)
    ]
    try:
        text = tokenizer.apply_chat_template(marked, tokenize=False, add_generation_prompt=True)
    except Exception as error:
        raise ChatError(
            f"The chat template of {label} refused the conversation ({error}). "
            "Clear the conversation, or switch to plain completion."
        ) from error
    return _ids_of_rendered(tokenizer, text, [m.content.strip() for m in messages])


def _around(content: str, mark: str) -> str:
    """The place holder with the content's outer spaces, so that a template can still trim them."""
    body = content.strip()
    start = content.index(body) if body else 0
    return content[:start] + mark + content[start + len(body) :]


def _ids_of_rendered(tokenizer: Any, text: str, contents: Sequence[str]) -> list[int]:
    """Ids of a rendered template: control tokens from its own words, the contents as plain text.

    Text between two control tokens is tokenised in one piece, template words and message together,
    so that ordinary messages get exactly the ids that tokenising the whole text gives them.
    """
    control = _added_tokens(tokenizer)
    pieces: list[int | str] = [""]
    for index, part in enumerate(_MARKED.split(text)):
        if index % 2:  # the number of a place holder
            _append(pieces, contents[int(part)])
            continue
        for word in control.split(part) if control else [part]:
            if word and control and control.fullmatch(word):
                pieces += [int(tokenizer.convert_tokens_to_ids(word)), ""]
            else:
                _append(pieces, word)
    ids: list[int] = []
    for piece in pieces:
        ids += [piece] if isinstance(piece, int) else _plain_ids(tokenizer, piece)
    return ids


def _append(pieces: list[int | str], text: str) -> None:
    last = pieces[-1]
    assert isinstance(last, str)
    pieces[-1] = last + text


def _added_tokens(tokenizer: Any) -> re.Pattern[str] | None:
    """A pattern with one group that finds every added token, the longest first."""
    words = sorted(tokenizer.get_added_vocab(), key=len, reverse=True)
    return re.compile("(" + "|".join(map(re.escape, words)) + ")") if words else None


def _plain_ids(tokenizer: Any, text: str) -> list[int]:
    """Ids of text in which no control token is recognised, whatever it looks like."""
    if not text:
        return []
    ids: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=True)[
        "input_ids"
    ]
    added = set(tokenizer.get_added_vocab().values())
    if added.isdisjoint(ids):
        return ids
    # Added tokens that are not "special" (`<think>` in some families) are still recognised: cut
    # each in two, so that neither half is one.
    pattern = _added_tokens(tokenizer)
    halves: list[str] = [""]
    for index, word in enumerate(pattern.split(text) if pattern else [text]):
        if index % 2 and len(word) > 1:
            halves[-1] += word[0]
            halves.append(word[1:])
        else:
            halves[-1] += word
    ids = []
    for half in halves:
        ids += tokenizer(half, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return [i for i in ids if i not in added]
