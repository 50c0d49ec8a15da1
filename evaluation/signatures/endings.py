"""Replies that say nothing, and replies that do not end."""

from __future__ import annotations

import re
import unicodedata

_NEXT_QUESTION = re.compile(
    r"\n\s*(?:#+ *)?(?:\*\*)?(?:(?:Next )?Question(?: *\d+)?|Q(?: ?\d+)?|Problem(?: *\d+)"
    r"|質問(?: *\d+)?|問題(?: *\d+)?|設問(?: *\d+)?|問(?: *\d+)?) ?[:：.．]",
)


def is_empty(text: str) -> bool:
    """Whether a reply holds nothing that can be seen: blanks, control and format characters."""
    return all(unicodedata.category(char)[0] in "ZC" for char in text)


def is_endless(text: str, stopped: str | None) -> bool:
    """Whether a reply was cut off by the limit of tokens, or goes on with a next question.

    Args:
        text: the reply.
        stopped: "eos", "until" or "length"; None where it was not kept.
    """
    # A next question at the very start belongs to the answer's own style ("Question: ... Answer:").
    return stopped == "length" or bool(_NEXT_QUESTION.search(text.lstrip()))
