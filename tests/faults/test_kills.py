"""Processes of a working home are killed at random moments: nothing is lost, twice or left.

The long form is `benchmarks/fault_suite.py`.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from jobs.running.launch import Warm
from tests.faults.here import run_here
from tests.faults.load import TRIVIAL, Mix, outcome, working_in
from tests.faults.processes import App
from tests.faults.siege import Report, Siege
from tests.jobs.conftest import alive, wait_for

pytestmark = pytest.mark.timeout(900)
# The child's first model takes long to say its first words, which is no part of this.
QUICK = {"CRUCIBLE_SMOKE": "0"}


def besieged(home: Path, mix: Mix, seed: int, *, warm: bool, **more: int) -> Report:
    (home / "tmp").mkdir()
    app = App(home, environment={**QUICK, "CRUCIBLE_WARM": str(int(warm)),
                                 "TMPDIR": str(home / "tmp")})  # fmt: skip
    return Siege(app, mix, random.Random(seed), pause_seconds=0.5, **more).run()


def test_what_a_job_left_behind_ends_although_its_worker_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker may be killed between a job's end and looking what the job has left."""
    monkeypatch.setenv("CRUCIBLE_WARM", "0")
    left = tmp_path / "grandchild"
    with working_in(tmp_path):
        launcher = Warm()
        try:
            spec = {"steps": 1, "grandchild": str(left)}
            request = {"kind": TRIVIAL, "spec": spec, "log": str(tmp_path / "log")}
            child = launcher.launch("1.1", request)
            wait_for(lambda: left.exists() and left.read_text())
            wait_for(lambda: not alive(int(left.read_text())))
            child.bury()
        finally:
            launcher.close()


def test_many_small_jobs_survive_kills_of_every_process(tmp_path: Path) -> None:
    mix = Mix(trivial=24, merge=False, study=False)
    with working_in(tmp_path):
        report = besieged(tmp_path, mix, seed=7, warm=False, kills=7)
        assert report.problems == []
        assert sum(report.kills.values()) >= 3  # a quick machine is done before the others
        assert report.cuts == sum(report.kills.values())
        assert outcome()["counted"] == 24


@pytest.mark.parametrize("study", [False, pytest.param(True, marks=pytest.mark.long)])
def test_scores_are_those_of_an_undisturbed_run(
    study: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRUCIBLE_SMOKE", QUICK["CRUCIBLE_SMOKE"])
    found = []
    for name in ("undisturbed", "besieged"):
        home = tmp_path / name
        home.mkdir()
        mix = Mix(trivial=3, limit=40, suite=None, families=name == "besieged", study=study)
        with working_in(home):
            if name == "undisturbed":
                run_here(mix)
            else:
                weights = {"child": 1}
                report = besieged(home, mix, seed=5, warm=True, kills=3, weights=weights)
                assert report.problems == []
                assert report.kills["child"] == 3
            found.append(outcome())
    assert found[0]["scores"] and bool(found[0]["points"]) == study
    assert found[1] == found[0]
