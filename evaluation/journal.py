"""Replies kept on disk as they come, so that a killed evaluation asks nothing twice.

A task's score is written when all of its items are answered, and a large task may take hours. So
each batch of replies is appended to a file, one for each model, task and configuration; the next
run under the same ones takes from it what is there and asks the rest. A line that a kill cut short
is no reply. Files of scores that are recorded are deleted by whoever records them, others when they
are a month old.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_KEPT_SECONDS = 30 * 86_400.0


@dataclass(frozen=True)
class Written:
    """A generated reply, as the scorer gives it."""

    text: str
    stopped: str
    stray: tuple[str, ...] = ()


class Journal:
    """The replies of one model.

    Args:
        folder: of the files, made when it is missing.
        model: what stands for the model's content, such as its fingerprint.
    """

    def __init__(self, folder: Path, model: str) -> None:
        self.folder = folder
        self.model = model
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            _forget_old(folder)

    def of(self, config_hash: str) -> TaskJournal:
        """The replies under one task's configuration."""
        name = hashlib.sha256(f"{self.model}\0{config_hash}".encode()).hexdigest()[:40]
        return TaskJournal(self.folder / f"{name}.jsonl")


class TaskJournal:
    """The replies to one task.

    Args:
        path: of the file, which need not be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem: str | None = None
        """Why nothing more is kept, in a sentence; None while all is well."""
        self._kept: dict[str, list[Any]] = defaultdict(list)
        self._fresh: list[str] = []
        for key, answer in _read(path):
            self._kept[key].append(answer)

    def take(self, kind: str, request: Any) -> Any:
        """A reply from an earlier run to a request, each once; None when there is none."""
        found = self._kept.get(_key(kind, request))
        return _answer(kind, found.pop(0)) if found else None

    def add(self, kind: str, request: Any, answer: Any) -> None:
        """Note a reply; `flush` writes it."""
        told = (
            {"text": answer.text, "stopped": answer.stopped, "stray": list(answer.stray)}
            if kind == "generate_until"
            else answer
        )
        self._fresh.append(json.dumps([_key(kind, request), told]))

    def flush(self) -> None:
        """Append what was noted since the last time, in one write."""
        lines, self._fresh = self._fresh, []
        if not lines or self.problem:
            return
        # It begins a line: the one before may have been cut short by a kill.
        content = "\n" + "\n".join(lines) + "\n"
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(file, content.encode())
            finally:
                os.close(file)
        except OSError as error:
            self.problem = (
                f"Replies cannot be kept in {self.path.parent} ({error.strerror}): if this run is "
                "interrupted, its unfinished task starts anew."
            )


def forget(path: str | Path) -> None:
    """Delete the replies of a task whose score is recorded."""
    with suppress(OSError):
        Path(path).unlink()


def _key(kind: str, request: Any) -> str:
    text = json.dumps([kind, request.args], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _answer(kind: str, told: Any) -> Any:
    if kind == "generate_until":
        return Written(told["text"], told["stopped"], tuple(told["stray"]))
    return (float(told[0]), bool(told[1])) if isinstance(told, list) else float(told)


def _read(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        with suppress(ValueError):  # cut short
            key, answer = json.loads(line)
            yield key, answer


def _forget_old(folder: Path) -> None:
    for path in folder.glob("*.jsonl"):
        if time.time() - path.stat().st_mtime > _KEPT_SECONDS:
            path.unlink()
