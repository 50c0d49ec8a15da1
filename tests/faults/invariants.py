"""What must be true of a home whatever was killed: sentences about what is not."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import struct
import subprocess
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.engine import session
from db.tables import Answer, Evaluation, Job, Model
from tests.faults import processes

ENDED = ("done", "failed", "cancelled")


def of_jobs() -> list[str]:
    """After all has ended: no job is open, holds a lease or has failed without a sentence."""
    with session() as opened:
        return [text for row in opened.scalars(select(Job)) for text in _of_job(row)]


def _of_job(row: Job) -> list[str]:
    found = []
    if row.state not in ENDED:
        found.append(f"job {row.id} is {row.state}")
    if row.lease_until is not None:
        found.append(f"job {row.id} ({row.state}) still holds a lease")
    if row.state == "failed" and not (row.error or "").endswith("."):
        found.append(f"job {row.id} failed without a sentence: {row.error!r}")
    if row.state == "failed" and "unexpected" in (row.error or ""):
        found.append(f"job {row.id} failed by a defect: {row.error}")
    if row.state == "done" and row.result is None:
        found.append(f"job {row.id} is done without a result")
    return found


def of_scores() -> list[str]:
    """At any moment: a score is there with all of its answers or not at all."""
    with session() as opened:
        return of_rows(opened)


def of_rows(opened: Session) -> list[str]:
    """The same for a database that is opened already."""
    count = func.count(Answer.doc_id)
    query = (
        select(Evaluation.id, Evaluation.task, Evaluation.n, count)
        .outerjoin(Answer, Answer.evaluation_id == Evaluation.id)
        .group_by(Evaluation.id, Evaluation.task, Evaluation.n)
    )
    return [
        f"score {number} ({task}) has {answers} of {n} answers"
        for number, task, n, answers in opened.execute(query)
        if n != answers
    ]


def of_models(home: Path) -> list[str]:
    """At any moment: what has a final name is whole."""
    folder = home / "models"
    named = (
        [one for one in folder.iterdir() if not one.name.startswith(".")] if folder.is_dir() else []
    )
    found = []
    for one in named:
        missing = [name for name in ("config.json", "recipe.yaml", "README.md", "tokenizer.json")
                   if not (one / name).is_file()]  # fmt: skip
        if missing:
            found.append(f"{one.name} lacks {', '.join(missing)}")
        found += [f"{file.name} of {one.name}: {text}" for file in one.glob("*.safetensors")
                  if (text := _of_file(file))]  # fmt: skip
        if not list(one.glob("*.safetensors")):
            found.append(f"{one.name} has no weights")
    return found


def _of_file(file: Path) -> str | None:
    """Why a safetensors file is not whole."""
    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        header = json.loads(opened.read(length))
    end = max((one["data_offsets"][1] for name, one in header.items() if name != "__metadata__"),
              default=0)  # fmt: skip
    size = file.stat().st_size
    return None if size == 8 + length + end else f"has {size} bytes of {8 + length + end}"


def of_leftovers(home: Path) -> list[str]:
    """After all has ended well: every model of the database is there, and nothing else is."""
    folder = home / "models"
    there = {str(one) for one in folder.iterdir()} if folder.is_dir() else set()
    with session() as opened:
        known = {row.source for row in opened.scalars(select(Model)) if row.role == "merge"} - {""}
    found = [f"{path} is left in the folder of models" for path in sorted(there - known)]
    found += [f"{path} is registered and not there" for path in sorted(known - there)]
    for place in (home / "cache" / "replies", home / "tmp"):
        left = sorted(one.name for one in place.iterdir()) if place.is_dir() else []
        # torch makes this one when it is imported, and every process uses the same
        left = [name for name in left if not name.startswith("torchinductor_")]
        found += [f"{name} is left in {place.name}" for name in left]
    return found


def of_processes(home: Path, web: set[int]) -> list[str]:
    """At any moment, given some seconds: nothing runs but what a living application started."""
    allowed = {pid for number in web for pid in processes.with_descendants(number)}
    return [f"process {pid} ({role}) was left behind"
            for pid, role in processes.of_home(home).items() if pid not in allowed]  # fmt: skip


def of_power_cut(home: Path, to: Path, chance: random.Random) -> list[str]:
    """Copy the database as a power cut at this moment leaves it, and look whether it is sound.

    Everything is frozen while the files are copied. What has not been synced may be lost: of the
    write-ahead log only what a checkpoint may have begun to move is certain to be on the disk, so
    that a random piece after it is cut off.
    """
    to.mkdir(parents=True)
    file = home / "crucible.db"
    with processes.frozen(home):
        # By another process: closing a file would drop the locks that this one's database holds.
        names = ("crucible.db", "crucible.db-wal", "crucible.db-shm")
        there = [str(home / name) for name in names if (home / name).exists()]
        subprocess.run(["cp", *there, str(to)], check=True)
    log, index = to / "crucible.db-wal", to / "crucible.db-shm"
    if log.exists() and log.stat().st_size > 32 and index.exists():
        _tear(log, index.read_bytes(), chance)
    index.unlink(missing_ok=True)  # it lives in memory only
    if not file.exists():
        return []
    with sqlite3.connect(to / "crucible.db") as opened:
        sound = [row[0] for row in opened.execute("pragma integrity_check")]
        dangling = list(opened.execute("pragma foreign_key_check"))
        half = [] if not _has_scores(opened) else list(opened.execute(
            "select e.id, e.n, count(a.doc_id) from evaluations e left join answers a"
            " on a.evaluation_id = e.id group by e.id, e.n having e.n <> count(a.doc_id)"
        ))  # fmt: skip
    opened.close()
    shutil.rmtree(to)
    found = [f"after a power cut: {text}" for text in sound if text != "ok"]
    found += [f"after a power cut: row {row} refers to nothing" for row in dangling]
    return found + [f"after a power cut: score {row} is not whole" for row in half]


def _has_scores(opened: sqlite3.Connection) -> bool:
    query = "select 1 from sqlite_master where name = 'answers'"
    return opened.execute(query).fetchone() is not None


def _tear(log: Path, index: bytes, chance: random.Random) -> None:
    """Cut the write-ahead log at a random byte after what a checkpoint may have moved."""
    page = struct.unpack(">I", log.read_bytes()[8:12])[0]
    attempted = struct.unpack("=I", index[128:132])[0] if len(index) >= 132 else 0
    least = 32 + attempted * (24 + page)
    size = log.stat().st_size
    if size > least:
        with log.open("r+b") as opened:
            opened.truncate(chance.randint(least, size))
