"""What is left of a SQLite database when the power goes: files as they were in one moment.

The writing process is stopped, so that nothing moves while its files are copied. Whatever SQLite
had not asked the disk to keep may be gone after a power cut, or have arrived in part and in any
order: the copies are damaged in just these ways (https://www.sqlite.org/walformat.html).
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

WAL_HEADER_BYTES, FRAME_HEADER_BYTES = 32, 24
SECTOR_BYTES = 512
_SALTS = slice(16, 24)
_BACKFILL_ATTEMPTED = 128  # offset in -shm of the frames that a checkpoint has begun to copy


@dataclass(frozen=True)
class Moment:
    """The files of a database at one moment, and the bytes of the log that the disk surely has."""

    main: bytes
    log: bytes
    safe_bytes: int

    @property
    def page_bytes(self) -> int:
        """Size of a page."""
        return int(struct.unpack(">H", self.main[16:18])[0]) or 65536

    def follows(self, earlier: Moment) -> bool:
        """Whether the log is the same one, only longer: nothing of it was thrown away between."""
        return bool(self.log) and self.log[_SALTS] == earlier.log[_SALTS]


@contextmanager
def stopped(process: int) -> Iterator[None]:
    """A process stands still."""
    os.kill(process, signal.SIGSTOP)
    os.waitpid(process, os.WUNTRACED)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def moment(database: Path) -> Moment:
    """Copy the files of a database in which nothing moves."""
    main, log, index = (
        _bytes(database.with_name(database.name + end)) for end in ("", "-wal", "-shm")
    )
    page_bytes = int(struct.unpack(">H", main[16:18])[0]) or 65536
    # A checkpoint has the log's frames on the disk before it copies them into the database.
    frames = struct.unpack_from("=I", index, _BACKFILL_ATTEMPTED)[0] if len(index) > 132 else 0
    safe_bytes = WAL_HEADER_BYTES + frames * (FRAME_HEADER_BYTES + page_bytes) if frames else 0
    return Moment(main, log, min(safe_bytes, len(log)))


def after_the_cut(
    now: Moment, before: Moment | None, chance: random.Random
) -> dict[str, tuple[bytes, bytes]]:
    """Ways that a disk may look like afterwards: name -> database and log."""
    cut = chance.randint(now.safe_bytes, len(now.log))
    torn = bytearray(now.log)
    for start in range(now.safe_bytes, len(torn), SECTOR_BYTES):
        if chance.random() < 0.05:
            torn[start : start + SECTOR_BYTES] = bytes(len(torn[start : start + SECTOR_BYTES]))
    ways = {
        "killed": (now.main, now.log),
        "log cut off": (now.main, now.log[:cut]),
        "log in pieces": (now.main, bytes(torn)),
    }
    if before is not None and now.follows(before) and len(before.main) <= len(now.main):
        ways["pages in part"] = (_mixed(before.main, now, chance), now.log)
    return ways


def _mixed(old: bytes, now: Moment, chance: random.Random) -> bytes:
    """A checkpoint's pages, some of them not arrived: each is still in the log."""
    size_bytes, mixed = now.page_bytes, bytearray(now.main)
    for start in range(0, len(old), size_bytes):
        if chance.random() < 0.5:
            mixed[start : start + size_bytes] = old[start : start + size_bytes]
    return bytes(mixed)


def numbers_of_scores(database: Path) -> list[int]:
    """Open a copy as after a cut; fails unless it is sound and every score is whole.

    Returns:
        The numbers of the scores in it (`Evaluation.seconds`), in order.
    """
    opened = sqlite3.connect(database)
    try:
        assert opened.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert opened.execute("PRAGMA foreign_key_check").fetchall() == []
        rows = opened.execute(
            "SELECT e.seconds, e.n, e.value, count(a.doc_id), avg(a.score) FROM evaluations e "
            "LEFT JOIN answers a ON a.evaluation_id = e.id GROUP BY e.id ORDER BY e.seconds"
        ).fetchall()
    finally:
        opened.close()
    for number, n, value, answers, mean in rows:
        assert answers == n and abs(value - mean) < 1e-9, f"score {number} is half there"
    return [int(row[0]) for row in rows]


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
