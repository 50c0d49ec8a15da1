"""Parents that must stay as they are from the first look at them to the last byte read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from merging.checkpoints.checkpoint import Checkpoint
from merging.errors import ModelError

# what a merge copies or reads besides the weights
COMPANIONS = ("*.json", "*.jinja", "*.model", "vocab.txt", "merges.txt")


class Watch:
    """The files of the parents as they were when it was made.

    A file that was written to, replaced, renamed or removed since then has another size, inode or
    time of change (which, unlike the time of modification, nobody can set).

    Args:
        parents: label -> opened checkpoint.

    Raises:
        ModelError: a file is gone already.
    """

    def __init__(self, parents: Mapping[str, Checkpoint]) -> None:
        self._files = {label: list(_files(one.parts)) for label, one in parents.items()}
        self._before = {
            file: _state(file, label) for label, files in self._files.items() for file in files
        }

    def require_unchanged(self) -> None:
        """Check that the parents are still what they were.

        Raises:
            ModelError: one is not; what was read of it may be of two models.
        """
        for label, files in self._files.items():
            for file in files:
                if _state(file, label) != self._before[file]:
                    raise ModelError(
                        f"{label}: {file.name} was changed while it was being read. Merge again "
                        "when nothing writes to the model."
                    )


def _files(parts: Iterable[Checkpoint]) -> Iterable[Path]:
    for part in parts:
        yield from sorted({info.file for info in part.in_files.values()})
        for kind in COMPANIONS:
            yield from sorted(part.folder.glob(kind))


def _state(file: Path, label: str) -> tuple[int, int, int, int]:
    try:
        found = os.stat(file)
    except OSError:
        raise ModelError(
            f"{label}: {file.name} went away while it was being read. Put the model back and merge "
            "again."
        ) from None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
