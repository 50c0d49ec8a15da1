"""The terminal's commands about jobs: what they change, print and refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import cli
from db.queries import jobs as job_rows
from jobs.running import api, identity, queue
from tests.jobs.conftest import row, submit

Said = pytest.CaptureFixture[str]


def call(*arguments: object) -> int:
    return cli.main(["jobs", *map(str, arguments)])


def listed(said: Said, *arguments: object) -> list[int]:
    said.readouterr()
    assert call("list", *arguments, "--json", "-") == 0
    return [one["id"] for one in json.loads(said.readouterr().out)]


def waiting() -> list[int]:
    return [one.id for one in job_rows.active()]


def test_list_finds_and_filters(home: Path, capsys: Said) -> None:
    a = api.submit("count", {"model": "sandbox/base"}, title="Score sandbox/base")
    b = api.submit("count", {"model": "sandbox/base-2"}, title="Score sandbox/base-2")
    c = api.submit("count", {}, title="Merge x", needs=[a])
    held = queue.claim(identity.worker_id(), "cpu")
    assert held is not None
    assert listed(capsys) == [a, b, c]
    assert listed(capsys, "--state", "running") == [a]
    assert listed(capsys, "score", "base-2") == [b]
    assert listed(capsys, "--model", "sandbox/base") == [a]  # a name is not a part of another
    assert listed(capsys, f"#{c}") == [c]
    assert listed(capsys, "--kind", "merge") == []
    assert listed(capsys, "--since", "2020-01-01", "--until", "2020-01-01") == []
    assert listed(capsys, "--since", "2020-01-01", "--limit", 2) == [a, b]
    assert call("list", "--limit", 1) == 0
    assert "1 of 3 jobs" in capsys.readouterr().out
    queue.finish(held, "failed", error="The disk of *x* is full.")
    assert listed(capsys, "disk") == [a]
    assert listed(capsys) == [b, c, a]  # c was not run
    assert call() == 0
    assert "Score sandbox/base-2" in capsys.readouterr().out


def test_show_tells_what_a_job_waits_for(home: Path, capsys: Said) -> None:
    a = submit()
    b = api.submit("count", {}, title="Then", needs=[a])
    job_rows.log_path(b).write_text("one\ntwo\n")
    assert call("show", b) == 0
    said = capsys.readouterr().out
    assert f"Waits for job {a}: Count (queued)" in said and "  two" in said
    assert call("show", b, "--json", "-") == 0
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (data["waits_for"], data["log"], data["state"]) == ([a], "one\ntwo\n", "queued")


def test_orders_are_carried_out(home: Path, capsys: Said) -> None:
    a, b, c = submit(), submit(), submit()
    assert call("move", c, "first") == 0
    assert "number 1 of 3" in "".join(capsys.readouterr())  # on stderr after a --json before
    assert waiting() == [c, a, b]
    assert call("priority", b, "+2") == 0 and waiting() == [b, c, a]
    assert call("priority", b, "-2") == 0 and row(b).priority == 0
    assert call("priority", a, 7) == 0 and waiting()[0] == a
    assert call("pause", a, b) == 0 and row(a).paused and row(b).paused
    assert call("resume", a) == 0 and not row(a).paused
    assert call("pause", "--all") == 0 and job_rows.queue_paused()
    capsys.readouterr()
    assert call("list") == 0 and "The queue is paused" in capsys.readouterr().out
    assert call("resume", "--all") == 0 and not job_rows.queue_paused()
    assert call("cancel", a, b) == 0
    assert {row(a).state, row(b).state} == {"cancelled"}
    assert call("retry", b) == 0 and row(b).state == "queued" and not row(b).paused


WRONG = [
    (["show", "9"], "There is no job 9"),
    (["cancel", "9"], "no waiting or running job 9"),
    (["cancel"], "'job"),
    (["pause"], "--all"),
    (["pause", "1", "--all"], "--all"),
    (["pause", "1", "--finish-running"], "--all"),
    (["pause", "9"], "There is no job 9"),
    (["resume"], "--all"),
    (["retry", "1"], "is queued"),
    (["priority", "1", "high"], "not a priority"),
    (["priority", "1", "101"], "-100 to 100"),
    (["priority", "1", "9" * 400], "-100 to 100"),
    (["move", "1", "up"], "no place 'up'"),
    (["list", "--state", "waiting"], "no state 'waiting'"),
    (["list", "--kind", "x"], "no kind 'x'"),
    (["list", "--since", "today"], "--since"),
    (["nonsense"], "No such command"),
]


@pytest.mark.parametrize(
    ("arguments", "words"), WRONG, ids=[" ".join(one[0])[:40] for one in WRONG]
)
def test_wrong_input_is_one_sentence(
    home: Path, capsys: Said, arguments: list[str], words: str
) -> None:
    submit()
    assert call(*arguments) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and len(said.splitlines()) == 1 and len(said) < 300
