"""Pieces of chat templates that stand in a reply."""

from __future__ import annotations

import re
from collections.abc import Sequence

_PIECES = re.compile(
    r"<\|[A-Za-z_][\w ]{0,30}\|>"  # <|im_start|>, <|eot_id|>, <|user|>
    r"|</?(?:start_of_turn|end_of_turn|s)>"
    r"|\[/?INST\]|<</?SYS>>"
    r"|^\s*#{2,3} ?(?:Instructions?|Response|Input|User|Assistant|Human|指示|応答|回答|入力"
    r"|ユーザー?|アシスタント) ?[:：]?\s*$"
    r"|^\s*#{2,3} ?(?:Instructions?|Response|指示|応答) ?[:：]"
    r"|^(?:User|Assistant|Human|System|ユーザー?|アシスタント|システム) ?[:：]",
    re.MULTILINE,
)
# What is left of Llama-3's and ChatML's headers once their special tokens are taken out.
_BARE_HEADER = re.compile(r"^(?:assistant|user|system)\s*\n", re.MULTILINE)
_THINKING = {"<think>", "</think>"}


def template_pieces(text: str, stray: Sequence[str] = (), target: str = "") -> list[str]:
    """Special tokens and template pieces in a reply, each once.

    Args:
        text: the reply, special tokens left out by decoding.
        stray: those special tokens.
        target: the right answer; what stands there may stand in the reply.
    """
    found = [token for token in stray if token not in _THINKING]
    found += [match.group().strip() for match in _PIECES.finditer(text)]
    found += [match.group().strip() for match in _BARE_HEADER.finditer(text)]
    return [piece for piece in dict.fromkeys(found) if piece and piece not in target]
