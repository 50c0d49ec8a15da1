"""The launcher: both ways of starting, from another folder, and what is left after the end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from jobs.running import supervise

PROJECT = Path(__file__).resolve().parents[2]
WAYS = {
    "streamlit run": [sys.executable, "-m", "streamlit", "run", str(PROJECT / "app.py")],
    "python app.py": [sys.executable, str(PROJECT / "app.py")],
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def until(condition: object, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.1)
    return False


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("way", WAYS)
def test_it_starts_anywhere_with_its_worker_and_ends_with_it(
    way: str, home: Path, tmp_path: Path
) -> None:
    port = free_port()
    log = tmp_path / "log"
    with log.open("wb") as out:
        app = subprocess.Popen(
            WAYS[way],
            cwd=tmp_path,
            env={
                **os.environ,
                "STREAMLIT_SERVER_PORT": str(port),
                "STREAMLIT_SERVER_HEADLESS": "true",
            },
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            assert until(lambda: answers(f"http://127.0.0.1:{port}/_stcore/health")), (
                log.read_text()
            )
            assert until(lambda: supervise.worker_status().alive), log.read_text()
            pid = supervise.worker_status().pid
            assert pid
            # the project's own settings are in force: on this machine only, foreign hosts refused
            assert f"http://127.0.0.1:{port}" in log.read_text()
            assert not (PROJECT / "pages" / "data").exists()
        finally:
            app.send_signal(signal.SIGINT)
            app.wait(timeout=60)
    assert until(lambda: gone(pid))
    assert not supervise.worker_status().alive
    assert "Traceback" not in log.read_text()


@pytest.mark.sqlite
def test_a_database_that_cannot_be_opened_is_one_sentence(home: Path, tmp_path: Path) -> None:
    (home / "crucible.db").write_text("this is no database " * 100)
    code = "import app; app.begin()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=120
    )
    said = [line for line in done.stderr.splitlines() if line.startswith("Crucible: ")]
    assert len(said) == 1 and str(home) in said[0], done.stderr
    assert "Traceback" not in done.stderr
