"""Contamination: test prompts that stand, word for word, in a training text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

_KEY = 12
"""Length of the piece of a prompt, in characters, by which it is looked up."""


def find_leaks(documents: Iterable[str], prompts: Iterable[str]) -> dict[str, str]:
    """Prompts that are part of a document, each with the first such document.

    Every position of every document is looked at; a prompt need not start at a word.
    """
    index: dict[str, list[str]] = defaultdict(list)
    short = []
    for prompt in set(prompts):
        if len(prompt) >= _KEY:
            index[prompt[:_KEY]].append(prompt)
        else:
            short.append(prompt)
    leaks: dict[str, str] = {}
    for document in set(documents):
        found = [prompt for prompt in short if prompt in document]
        for start in range(len(document) - _KEY + 1):
            candidates = index.get(document[start : start + _KEY])
            if candidates:
                found += [p for p in candidates if document.startswith(p, start)]
        for prompt in found:
            leaks.setdefault(prompt, document)
    return leaks
