"""The power goes, the disk is full, another program holds the database: no score is half there."""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select

from db.engine import close_databases, open_database, session, transaction
from db.errors import DatabaseError
from db.tables import Answer, Evaluation, Model, Prompt
from tests.db.power_cut import Moment, after_the_cut, moment, numbers_of_scores, stopped

pytestmark = pytest.mark.sqlite
KEPT = 60  # scores; older ones are replaced, as the recorder replaces them


@pytest.fixture(autouse=True)
def ready(home: Path) -> Iterator[Path]:
    """A database with a model."""
    with transaction() as opened:
        opened.add(Model(name="m", source="/x", role="base"))
        opened.add(Prompt(hash="p", text="Question?"))
    close_databases()
    yield home / "crucible.db"
    close_databases()


def write_score(number: int, chance: random.Random) -> None:
    """One score with its answers in one transaction; the one of `KEPT` before goes with it."""
    scores = [float(chance.random() < 0.5) for _ in range(chance.randint(1, 30))]
    with transaction() as opened:
        opened.execute(delete(Evaluation).where(Evaluation.seconds <= number - KEPT))
        row = Evaluation(
            model_id=1, model_fingerprint="f", suite="s", task=f"t{number}", domain="d",
            task_version="1", metric="acc", value=sum(scores) / len(scores), n=len(scores),
            config={}, config_hash="c", prompts_hash="p", seconds=number,
        )  # fmt: skip
        opened.add(row)
        opened.flush()
        opened.execute(insert(Answer), [
            {"evaluation_id": row.id, "doc_id": item, "doc_hash": "d", "prompt_hash": "p",
             "target": "yes", "output": "o" * chance.randint(0, 6_000), "score": score}
            for item, score in enumerate(scores)
        ])  # fmt: skip


def writing(told: int, *, seed: int = 1) -> int:
    """A process that writes scores 0, 1, 2 ... until it is killed, and tells of each; its id."""
    child = os.fork()
    if child:
        return child
    try:
        number, chance = 0, random.Random(seed)
        while os.getppid() != 1:
            write_score(number, chance)
            os.write(told, b"%d\n" % number)
            number += 1
    finally:
        os._exit(1)


def cut_often(database: Path, folder: Path, times: int, seed: int) -> set[str]:
    """Cut the power in random moments of one process' writing; the ways that were looked at."""
    chance = random.Random(seed)
    read, told = os.pipe()
    os.set_blocking(read, False)
    writer = writing(told, seed=seed)
    os.close(told)
    committed, unread, seen = -1, b"", set()
    before: Moment | None = None
    try:
        for turn in range(times):
            time.sleep(chance.random() * 0.08)
            with stopped(writer):
                now = moment(database)
                while piece := _read(read):
                    *lines, unread = (unread + piece).split(b"\n")
                    committed = int(lines[-1]) if lines else committed
            for way, (main, log) in after_the_cut(now, before, chance).items():
                copy = folder / f"{turn}-{way}.db"
                copy.write_bytes(main)
                copy.with_name(f"{copy.name}-wal").write_bytes(log)
                found = numbers_of_scores(copy)
                newest = found[-1] if found else -1
                assert found == list(range(max(0, newest - KEPT + 1), newest + 1)), way
                if way in ("killed", "pages in part"):
                    assert newest >= committed  # the program has been told that it is kept
                seen.add(way)
                for end in ("", "-wal", "-shm"):
                    copy.with_name(copy.name + end).unlink(missing_ok=True)
            before = now
    finally:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        os.close(read)
    return seen


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return b""


def test_no_score_is_half_there_after_a_power_cut(ready: Path, tmp_path: Path) -> None:
    seen = cut_often(ready, tmp_path, times=12, seed=1)
    assert {"killed", "log cut off", "log in pieces"} <= seen
    assert numbers_of_scores(ready)  # it has really written


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(10))
def test_no_score_is_half_there_after_many_power_cuts(
    ready: Path, tmp_path: Path, seed: int
) -> None:
    seen = cut_often(ready, tmp_path, times=200, seed=seed)
    assert seen == {"killed", "log cut off", "log in pieces", "pages in part"}


def test_a_full_disk_is_told_and_what_was_there_stays(ready: Path) -> None:
    """The kernel refuses to let any file grow beyond a size, as a full disk does."""
    for number in range(5):
        write_score(number, random.Random(number))
    close_databases()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
            try:
                for number in range(5, 1000):
                    write_score(number, random.Random(number))
                    reached = number
            except DatabaseError as error:
                said = "cannot grow" in str(error) and "Free some disk space" in str(error)
                again = 2 if said and error.transient else 3
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
                write_score(reached + 1, random.Random(1))  # there is room again: it goes on
                code = again + 10 * (reached > 5)
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 12
    found = numbers_of_scores(ready)
    assert found == list(range(max(0, found[-1] - KEPT + 1), found[-1] + 1)) and len(found) > 6


def test_no_room_for_a_new_database_is_told(tmp_path: Path, home: Path) -> None:
    (home / "crucible.db").unlink()
    for end in ("-wal", "-shm"):
        (home / f"crucible.db{end}").unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
            try:
                open_database()
            except DatabaseError as error:
                code = 2 if "cannot grow" in str(error) else 3
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    with session() as opened:  # and with room again it is made whole
        assert opened.scalars(select(Model)).all() == []


def test_another_programs_lock_is_waited_for(ready: Path) -> None:
    begin, go = os.pipe()
    child = os.fork()  # before this process opens the file: SQLite does not survive a fork
    if child == 0:
        code = 1
        try:
            os.read(begin, 1)
            write_score(0, random.Random(1))
            code = 0
        finally:
            os._exit(code)
    other = sqlite3.connect(ready, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    os.write(go, b".")
    time.sleep(1.0)  # it can't write in this time, whatever it does
    assert os.waitpid(child, os.WNOHANG) == (0, 0)
    other.execute("COMMIT")
    other.close()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert numbers_of_scores(ready) == [0]
    os.close(begin)
    os.close(go)
