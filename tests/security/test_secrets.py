"""What is secret is in no message, log, card or file (the journeys in tests/browser look too)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import outgoing
from tests.security.conftest import PROJECT

PASSWORD = "CanaryDatabasePassword"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ada:{PASSWORD}@127.0.0.1:1/crucible",
        f"postgresql+psycopg://ada:{PASSWORD}@127.0.0.1:1/crucible?connect_timeout=1",
        f"nonsense://ada:{PASSWORD}@host/x",
        f"postgresql://ada:{PASSWORD}@@:port/x",
        f"{PASSWORD}",
    ],
)
@pytest.mark.parametrize("debug", ["", "1"])
def test_a_database_that_is_out_of_reach_does_not_tell_its_password(
    tmp_path: Path, url: str, debug: str
) -> None:
    env = {
        **os.environ,
        **outgoing.CANARIES,
        "CRUCIBLE_HOME": str(tmp_path),
        "CRUCIBLE_DATABASE_URL": url,
        "CRUCIBLE_DEBUG": debug,
    }
    said = subprocess.run(
        [sys.executable, "cli.py", "models"],
        cwd=PROJECT,
        env=env,
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert said.returncode != 0
    assert PASSWORD not in said.stdout + said.stderr
    assert not outgoing.kept(tmp_path)


def test_a_benchmark_keeps_no_secret(tmp_path: Path) -> None:
    """Recipe, card, log, database and results of a merge that is scored, from the terminal."""
    recipe = PROJECT / "recipes" / "1-instruct-without-instruction-data.yaml"
    watched = tmp_path / "watched"
    env = {**os.environ, **outgoing.environment(watched), "CRUCIBLE_HOME": str(tmp_path / "home")}
    out = tmp_path / "home" / "out"
    out.parent.mkdir()
    for command in (
        ["merge", str(recipe), str(out)],
        ["evaluate", str(out), "--suite", "sandbox", "--limit", "1"],
    ):
        said = subprocess.run(
            [sys.executable, "cli.py", *command],
            cwd=PROJECT,
            env=env,
            text=True,
            capture_output=True,
            timeout=280,
        )
        assert said.returncode == 0, said.stderr[-2000:]
        assert not any(one in said.stdout + said.stderr for one in outgoing.CANARIES.values())
    assert (out / "README.md").exists() and (tmp_path / "home" / "crucible.db").exists()
    assert not outgoing.kept(tmp_path / "home")
    assert not outgoing.calls(watched)
    assert len(outgoing.notes(watched)) >= 2
