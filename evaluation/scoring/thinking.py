"""Thoughts that a model writes before its answer: ``<think> ... </think>`` and the like.

They are no part of the answer: extraction, filters and metrics are given what follows them, the
whole reply is kept. A thought that never ends leaves no answer, which is not a wrong one.
"""

from __future__ import annotations

import re

_NAMES = r"(?:think|thinking|thought|thoughts|reasoning)"
_OPEN = re.compile(rf"<{_NAMES}>|<\|begin_of_thought\|>|◁think▷", re.IGNORECASE)
_CLOSE = re.compile(rf"</{_NAMES}>|<\|end_of_thought\|>|◁/think▷", re.IGNORECASE)


def opened_by(prompt: str) -> bool:
    """Whether a prompt ends inside a thought, as the templates of some reasoning models do."""
    last = None
    for last in _OPEN.finditer(prompt):  # noqa: B007
        pass
    return last is not None and not prompt[last.end() :].strip()


def strip(reply: str, *, opened: bool = False) -> tuple[str, bool]:
    """A reply without its thoughts.

    Args:
        reply: all that the model wrote.
        opened: the prompt ended inside a thought.

    Returns:
        The answer, and whether there can be one: False when a thought was never closed and
        nothing stands before it.
    """
    if opened and not _CLOSE.search(reply):
        return "", False
    text = reply
    while (begin := _OPEN.search(text)) is not None:
        end = _CLOSE.search(text, begin.end())
        before = text[: begin.start()]
        if end is None:
            return before, bool(before.strip())
        text = before + text[end.end() :].lstrip("\n")
    *_, text = _CLOSE.split(text)  # closed, but opened by the prompt
    return (text.lstrip() if text != reply else text), True


def answer_start(text: str, *, opened: bool = False) -> int | None:
    """Where the answer begins in a reply that is being written; None while it is still thought.

    Stop strings count from there on: a blank line ends an answer, not a thought.
    """
    ends = [found.end() for found in _CLOSE.finditer(text)]
    start = ends[-1] if ends else 0
    thinking = _OPEN.match(text.lstrip()) if not ends else _OPEN.search(text, start)
    return None if thinking or (opened and not ends) else start
