"""Priorities, places and pauses: what the user says about the order is what workers follow."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.engine import transaction
from db.queries import jobs as job_rows
from db.tables import Job
from jobs.errors import JobError
from jobs.running import api, identity, order, queue
from tests.jobs.conftest import row, submit

ME = identity.worker_id()


def waiting() -> list[int]:
    return [one.id for one in job_rows.active() if one.state == "queued"]


def claimed() -> list[int]:
    found = []
    while (held := queue.claim(ME, "cpu")) is not None:
        found.append(held.job_id)
    return found


def test_moves(home: Path) -> None:
    a, b, c, d = (submit() for _ in range(4))
    api.move(d, "first")
    assert waiting() == [d, a, b, c]
    api.move(b, "earlier")
    assert waiting() == [d, b, a, c]
    api.move(d, "later")
    assert waiting() == [b, d, a, c]
    api.move(b, "last")
    assert waiting() == [d, a, c, b]
    api.move(b, "last")
    api.move(d, "earlier")
    assert waiting() == claimed() == [d, a, c, b]


def test_a_job_moved_among_urgent_ones_is_urgent(home: Path) -> None:
    a = submit()
    urgent = api.submit("count", {}, title="x", priority=5)
    api.move(a, "first")
    assert (waiting(), row(a).priority) == ([a, urgent], 5)
    late = submit()
    api.move(a, "last")
    assert (waiting(), row(a).priority) == ([urgent, late, a], 0)


WHERE = st.sampled_from(["first", "earlier", "later", "last"])
MOVES = st.lists(st.tuples(st.integers(0, 4), WHERE), max_size=12)


@settings(max_examples=15, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(moves=MOVES, priorities=st.lists(st.integers(-1, 1), min_size=5, max_size=5))
def test_moves_are_those_of_a_list(
    home: Path, moves: list[tuple[int, order.Where]], priorities: list[int]
) -> None:
    api.cancel_group("g")
    jobs = [api.submit("count", {}, title="x", group="g", priority=one) for one in priorities]
    expected = sorted(jobs, key=lambda job: (-priorities[jobs.index(job)], job))
    for which, where in moves:
        at = expected.index(jobs[which])
        to = {"first": 0, "earlier": max(0, at - 1), "later": min(4, at + 1), "last": 4}[where]
        expected.insert(to, expected.pop(at))
        api.move(jobs[which], where)
        assert waiting() == expected


def test_places_never_run_out(home: Path) -> None:
    a, b, c = (submit() for _ in range(3))
    for _ in range(70):  # halving a gap 53 times leaves no number in it
        api.move(c, "earlier")
        api.move(b, "earlier") if waiting()[1] == b else api.move(c, "later")
        api.move(waiting()[2], "earlier")
    with transaction() as opened:
        places = [opened.get_one(Job, one).place for one in (a, b, c)]
    assert len(set(places)) == 3


def test_priorities(home: Path) -> None:
    a, b = submit(), submit()
    assert api.change_priority(b, 1) == 1
    assert waiting() == [b, a]
    assert api.change_priority(b, -2) == -1
    assert waiting() == [a, b]
    api.set_priority(b, 100)
    for wrong in (101, -101, 10**30):
        with pytest.raises(JobError, match="-100 to 100"):
            api.set_priority(b, wrong)
    assert row(b).priority == 100


def test_what_an_urgent_job_needs_is_urgent_too(home: Path) -> None:
    merge = submit()
    between = api.submit("count", {}, title="x", needs=[merge])
    other = submit()
    last = api.submit("count", {}, title="y", needs=[between])
    api.set_priority(last, 3)
    assert [row(job).priority for job in (merge, between, other, last)] == [3, 3, 0, 3]
    api.set_priority(last, -3)  # but not the less urgent: others may wait for it as well
    assert row(merge).priority == 3


def test_what_has_ended_cannot_be_moved(home: Path) -> None:
    job = submit()
    held = queue.claim(ME, "cpu")
    assert held is not None
    with pytest.raises(JobError, match="is running"):
        api.move(job, "first")
    queue.finish(held, "done")
    for ask in (lambda: api.move(job, "first"), lambda: api.change_priority(job, 1)):
        with pytest.raises(JobError, match="is done"):
            ask()
    for ask in (lambda: api.move(99, "first"), lambda: api.pause(99), lambda: api.resume(99)):
        with pytest.raises(JobError, match="There is no job 99"):
            ask()
    with pytest.raises(JobError, match="is done: only an open one can be paused"):
        api.pause(job)


def test_a_paused_job_is_passed_over_and_holds_what_needs_it(home: Path) -> None:
    a = submit()
    b = api.submit("count", {}, title="b", needs=[a])
    c = submit()
    api.pause(a)
    assert claimed() == [c]
    api.resume(a)
    held = queue.claim(ME, "cpu")
    assert held is not None and held.job_id == a
    api.pause(a)
    assert queue.asked_to_stop([a, c]) == {a: "release"}
    queue.release(held)
    assert (row(a).state, row(a).paused) == ("queued", True)
    assert claimed() == []
    assert api.cancel(a)
    assert (row(a).state, row(b).state) == ("cancelled", "cancelled")
    api.retry(a)
    assert claimed() == [a]  # a second try is not paused


def test_a_job_that_was_done_before_it_heard_of_the_pause_is_done(home: Path) -> None:
    a = submit()
    held = queue.claim(ME, "cpu")
    assert held is not None
    api.pause(a)
    queue.finish(held, "done")
    assert (row(a).state, row(a).paused) == ("done", False)


def test_pausing_the_whole_queue(home: Path) -> None:
    a, b = submit(), api.submit("count", {}, title="b", group="g")
    held = queue.claim(ME, "cpu")
    assert held is not None and not job_rows.queue_paused()
    api.pause_queue(finish_running=True)
    assert queue.asked_to_stop([a]) == {}
    api.pause_queue()
    api.pause_queue()
    assert job_rows.queue_paused()
    assert queue.asked_to_stop([a]) == {a: "release"}
    assert queue.asked_to_stop([a], whole_queue=False) == {}
    assert claimed() == []
    # who asks in a terminal for these very jobs gets them
    mine = queue.claim(ME, "cpu", group="g")
    assert mine is not None and mine.job_id == b
    api.resume_queue()
    api.resume_queue()
    queue.release(held)
    assert claimed() == [a]


def test_pausing_a_group(home: Path) -> None:
    jobs = [api.submit("count", {}, title="x", group="g") for _ in range(3)]
    other = submit()
    api.cancel(jobs[2])
    assert api.pause_group("g") == 2
    assert api.pause_group("g") == 0
    assert claimed() == [other]
    assert api.pause_group("g", paused=False) == 2
    assert claimed() == jobs[:2]
