"""Another program locks the database for longer than anybody waits, and pages say why jobs wait."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from db.errors import DatabaseError
from jobs.running import api, lock
from tests.jobs.conftest import PROJECT, row, submit, wait_for, wait_state


@pytest.mark.long
def test_a_lock_of_forty_seconds_loses_nothing(
    start_worker: Callable[..., subprocess.Popen[str]], home: Path
) -> None:
    start_worker()
    running, waiting = submit(steps=60, seconds=0.05), submit(steps=3)
    wait_for(lambda: row(running).done > 2)
    with closing(sqlite3.connect(home / "crucible.db", isolation_level=None)) as other:
        other.execute("begin exclusive")
        began = time.monotonic()
        with pytest.raises(DatabaseError, match="locked by another program"):  # a press
            api.cancel(waiting)
        assert row(running).state == "running"  # pages read on
        wait_for(lambda: lock.status().trouble, seconds=60)
        assert "locked by another program" in (lock.status().trouble or "")
        time.sleep(max(0.0, 40 - (time.monotonic() - began)))
        other.execute("commit")
    for job, steps in ((running, 60), (waiting, 3)):
        done = wait_state(job, "done", "failed")
        assert (done.state, done.result, done.attempt) == ("done", {"steps": steps}, 1)
    wait_for(lambda: lock.status().trouble is None)


def test_every_page_says_why_jobs_wait(home: Path) -> None:
    from streamlit.testing.v1 import AppTest

    with lock.acquire(["cpu"]) as held:
        lock.sign(held, ["cpu"], "The database is locked by another program.")
        page = AppTest.from_file(str(PROJECT / "pages" / "main.py"), default_timeout=120).run()
        said = "The database is locked by another program. Jobs wait and go on by themselves."
        assert [one.value for one in page.sidebar.warning] == [said]
        lock.sign(held, ["cpu"])
        assert not page.run().sidebar.warning
