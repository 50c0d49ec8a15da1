"""Pickled weights that the user has agreed to: converted once, and kept in the home."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from pathlib import Path

from db import settings
from jobs.kinds import Event
from jobs.models import names as naming

WHY = (
    "A pickle can run code when it is opened. Only its tensors are read, into a safetensors copy; "
    "anything else in it is refused."
)


def is_pickled(folder: Path) -> bool:
    """Whether a folder has pickles where safetensors should be."""
    from merging.formats.pickles import pickled_weights

    return folder.is_dir() and bool(pickled_weights(folder))


def place(folder: Path) -> Path:
    """Where the safetensors copy of a folder lies: the same as long as its files are the same."""
    from merging.formats.pickles import pickled_weights

    stats = [(file.name, file.stat()) for file in pickled_weights(folder)]
    listed = [f"{name}:{stat.st_size}:{stat.st_mtime_ns}" for name, stat in stats]
    key = hashlib.sha256("\n".join([str(folder), *listed]).encode()).hexdigest()[:10]
    return settings.cache_folder() / "converted" / f"{naming.folder(folder.name)}-{key}"


def converted(folder: Path, *, label: str | None = None) -> Generator[Event, None, Path]:
    """The safetensors copy of a folder with pickles, made now if it is not there yet.

    Raises:
        ModelError: a pickle that holds anything but tensors; nothing of it was run.
        MergeFailure: the copy cannot be written.
    """
    from merging.formats.pickles import convert

    folder = folder.resolve()
    out = place(folder)
    if out.is_dir():
        return out
    for event in convert(folder, out, label=label):
        if event["kind"] != "result":
            yield event
    return out


def convert_now(folder: Path, *, label: str | None = None) -> Path:
    """`converted`, without anybody watching."""
    events = converted(folder, label=label)
    while True:
        try:
            next(events)
        except StopIteration as stop:
            path: Path = stop.value
            return path
