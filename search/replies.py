"""What a merge answered to its first items, kept in memory until it is asked the others."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any


class Replies:
    """The replies of one merge; takes the place of `evaluation.journal.Journal`.

    First a few items of each task are scored, then perhaps all of them: what was answered is not
    asked again, and the second score is that of all items together, whatever its metric.
    """

    def __init__(self) -> None:
        self._kept: dict[str, list[Any]] = defaultdict(list)

    def of(self, config_hash: str) -> _Taken:
        """The replies so far, each to be taken once; new ones are added."""
        return _Taken(self._kept)


class _Taken:
    path = Path("")  # of no file
    problem: str | None = None

    def __init__(self, kept: dict[str, list[Any]]) -> None:
        self._kept = kept
        self._left = {key: list(answers) for key, answers in kept.items()}

    def take(self, kind: str, request: Any) -> Any:
        """A reply from before, each once; None when there is none."""
        found = self._left.get(_key(kind, request))
        return found.pop(0) if found else None

    def add(self, kind: str, request: Any, answer: Any) -> None:
        """Keep a reply."""
        self._kept[_key(kind, request)].append(answer)

    def flush(self) -> None:
        """Nothing waits to be written."""


def _key(kind: str, request: Any) -> str:
    text = json.dumps([kind, request.args], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
