"""The queue's rules: each job to one caller, dependencies, leases, and the fence."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from db.engine import transaction
from db.queries import jobs as job_rows
from db.tables import Job
from jobs.errors import JobError
from jobs.running import api, identity, queue
from jobs.running.queue import Fenced
from jobs.running.reaper import Reaper
from tests.jobs.conftest import PROJECT, row, submit

ME = identity.worker_id()


def claim(**more: Any) -> queue.Claim:
    found = queue.claim(ME, "cpu", **more)
    assert found is not None
    return found


def change(job_id: int, **values: Any) -> None:
    with transaction() as opened:
        for name, value in values.items():
            setattr(opened.get_one(Job, job_id), name, value)


def test_higher_priority_first_then_the_order_of_submission(home: Path) -> None:
    first, second = submit(), submit()
    urgent = api.submit("count", {}, title="Urgent", priority=5)
    assert [claim().job_id for _ in range(3)] == [urgent, first, second]
    assert queue.claim(ME, "cpu") is None


def test_a_group_can_be_claimed_alone(home: Path) -> None:
    submit()
    mine = api.submit("count", {}, title="Mine", group="g")
    assert claim(group="g").job_id == mine
    assert queue.claim(ME, "cpu", group="g") is None


def test_a_job_waits_for_all_that_it_needs(home: Path) -> None:
    a, b = submit(), submit()
    c = api.submit("count", {}, title="C", needs=[a, b])
    held_a, held_b = claim(), claim()
    assert queue.claim(ME, "cpu") is None
    queue.finish(held_a, "done")
    assert queue.claim(ME, "cpu") is None
    queue.finish(held_b, "done")
    assert claim().job_id == c


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_what_needs_a_failed_job_ends_with_it(home: Path, state: str) -> None:
    a = submit()
    b = api.submit("count", {}, title="B", needs=[a])
    c = api.submit("count", {}, title="C", needs=[b])
    queue.finish(claim(), state, error="Broken." if state == "failed" else None)
    assert (row(b).state, row(c).state) == (state, state)
    verb = "failed" if state == "failed" else "was cancelled"
    assert row(b).error == f"Not run, because “Count” (job {a}) {verb}."
    late = api.submit("count", {}, title="Late", needs=[a])
    assert row(late).state == state


def test_a_late_zombie_cannot_write(home: Path) -> None:
    job = submit()
    zombie = claim()
    change(job, lease_until=0.0)  # it was silent for too long
    assert Reaper(0.0).reap() == 1
    heir = claim()
    assert (heir.job_id, heir.attempt) == (job, 2)
    for write in (
        lambda: queue.heartbeat(zombie),
        lambda: queue.finish(zombie, "done", result={"late": True}),
        lambda: queue.release(zombie),
        lambda: queue.died(zombie, "late"),
    ):
        with pytest.raises(Fenced):
            write()
    assert (row(job).state, row(job).result) == ("running", None)
    queue.finish(heir, "done", result={"heir": True})
    with pytest.raises(Fenced):
        queue.finish(heir, "failed", error="twice")
    assert (row(job).state, row(job).result) == ("done", {"heir": True})


def test_a_fenced_transaction_writes_nothing_at_all(home: Path) -> None:
    submit()
    held = claim()
    queue.finish(held, "done")
    with pytest.raises(Fenced), transaction() as opened:
        opened.add(Job(kind="count", title="smuggled", spec={}))
        opened.flush()
        queue.write(opened, held, stage="late")
    assert all(each.title != "smuggled" for each in job_rows.recent())


def test_a_living_worker_keeps_its_job(home: Path) -> None:
    job = submit()
    claim()
    assert Reaper(0.0).reap() == 0
    assert row(job).state == "running"


def test_a_dead_worker_loses_its_job_before_the_lease_runs_out(home: Path) -> None:
    job = submit()
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    worker = identity.worker_id().replace(f":{os.getpid()}:", f":{dead.pid}:")
    dead.wait()
    assert queue.claim(worker, "cpu") is not None
    assert Reaper(0.0).reap() == 1
    assert (row(job).state, row(job).deaths) == ("queued", 1)
    assert row(job).error == "Started again: the worker that ran it was lost."


def test_another_hosts_worker_is_judged_by_its_lease_alone(home: Path) -> None:
    job = submit()
    queue.claim("elsewhere:1:0.0", "cpu")
    assert Reaper(0.0).reap() == 0
    change(job, lease_until=1.0)
    assert Reaper(0.0).reap() == 1


def test_a_clock_that_jumps_costs_nobody_a_job(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = submit()
    held = claim()
    reaper = Reaper(0.3)
    ahead = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: ahead)
    assert reaper.reap() == 0  # the lease has run out, but perhaps only by the clock
    queue.heartbeat(held)
    time.sleep(0.4)
    assert reaper.reap() == 0
    assert row(job).state == "running"
    change(job, lease_until=1.0)  # and now it is silent indeed
    assert reaper.reap() == 0
    time.sleep(0.4)
    assert reaper.reap() == 1


def test_cancel_of_a_lost_job_is_not_forgotten(home: Path) -> None:
    job = submit()
    claim()
    assert api.cancel(job)
    assert row(job).state == "running"
    change(job, lease_until=0.0)
    Reaper(0.0).reap()
    assert row(job).state == "cancelled"


def test_cancel_wins_over_putting_back(home: Path) -> None:
    job = submit()
    held = claim()
    api.cancel(job)
    queue.release(held)
    assert row(job).state == "cancelled"


def test_cancel_of_what_has_ended_does_nothing(home: Path) -> None:
    job = submit()
    queue.finish(claim(), "done")
    assert not api.cancel(job)
    assert not api.cancel(999)
    assert row(job).state == "done"


def test_cancel_group_ends_what_waits_and_asks_what_runs(home: Path) -> None:
    jobs = [api.submit("count", {}, title="x", group="g") for _ in range(3)]
    other = submit()
    held = claim(group="g")
    assert api.cancel_group("g") == 3
    assert [row(job).state for job in jobs] == ["running", "cancelled", "cancelled"]
    assert queue.asked_to_stop([held.job_id]) == {held.job_id: "cancel"}
    assert row(other).state == "queued"


def test_retry_brings_back_what_hung_on_it(home: Path) -> None:
    a = submit()
    b = api.submit("count", {}, title="B", needs=[a])
    queue.finish(claim(), "failed", error="Broken.")
    assert api.retry(a) == a
    assert (row(a).state, row(a).error, row(b).state) == ("queued", None, "queued")
    queue.finish(claim(), "failed", error="Again.")
    assert api.retry(b) == b  # brings back what it needs
    assert (row(a).state, row(b).state) == ("queued", "queued")
    queue.finish(claim(), "done")
    assert claim().job_id == b


def test_retry_is_for_what_has_failed(home: Path) -> None:
    with pytest.raises(JobError, match="There is no job 7"):
        api.retry(7)
    with pytest.raises(JobError, match="is queued"):
        api.retry(submit())


@pytest.mark.parametrize(
    ("kind", "spec", "words"),
    [("nonsense", {}, "no job kind"), ("count", {"x": object()}, "not JSON"),
     ("count", {"x": float("nan")}, "not JSON")],
)  # fmt: skip
def test_what_cannot_be_run_is_refused(
    home: Path, kind: str, spec: dict[str, Any], words: str
) -> None:
    with pytest.raises(JobError, match=words) as caught:
        api.submit(kind, spec, title="x")
    assert caught.value.exit_code == 2
    assert job_rows.recent() == []


CLAIMER = """
import sys
from jobs.running import identity, queue
me = identity.worker_id()
while (held := queue.claim(me, "cpu")) is not None:
    with open(sys.argv[1], "a") as file:
        file.write(f"{held.job_id}\\n")
    queue.finish(held, "done")
"""


def test_three_claimers_take_thirty_jobs_once_each(home: Path, tmp_path: Path) -> None:
    jobs = [submit() for _ in range(30)]
    log = tmp_path / "claimed"
    claimers = [
        subprocess.Popen([sys.executable, "-c", CLAIMER, str(log)], cwd=PROJECT, text=True,
                         stderr=subprocess.PIPE)
        for _ in range(3)
    ]  # fmt: skip
    for process in claimers:
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
    assert sorted(map(int, log.read_text().split())) == jobs
    assert all(row(job).attempt == 1 for job in jobs)


def test_queue_counts_and_lists(home: Path) -> None:
    running, waiting = submit(), submit()
    done = api.submit("count", {}, title="Done one", priority=9)
    queue.finish(claim(), "done")
    claim()
    counts = job_rows.counts()
    assert (counts.queued, counts.running, counts.done) == (1, 1, 1)
    assert [each.id for each in job_rows.active()] == [running, waiting]
    assert [each.id for each in job_rows.recent()] == [done, waiting, running]
    assert [each.id for each in job_rows.recent(search="done")] == [done]
    assert [each.id for each in job_rows.ended_since(0.0)] == [done]
    ended = row(done).ended
    assert ended is not None
    assert job_rows.ended_since(ended) == []
