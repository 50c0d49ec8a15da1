"""The real app on a free port with an empty home, and tabs of a real Chromium looking at it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import outgoing
from tests.chromium import TIMEOUT_MS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def app_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home that the app of this session works in."""
    return tmp_path_factory.mktemp("app-home")


@pytest.fixture(scope="session")
def app_url(app_home: Path) -> Iterator[str]:
    """Address of the running app; it is started from another folder, and ended as Ctrl+C does."""
    yield from serve(["-m", "streamlit", "run", str(PROJECT / "app.py")], app_home)


def serve(command: list[str], home: Path, *, port: int | None = None) -> Iterator[str]:
    """Run a Python command that serves the app, with a home; yields its address while it runs.

    Whatever the app and its processes did meanwhile, they called nobody and kept no secret.
    """
    if port is None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    log = (home / "server.log").open("wb")
    watched = home.with_name(f"{home.name}-watched")
    server = subprocess.Popen(
        [sys.executable, *command, f"--server.port={port}", "--server.headless=true"],
        cwd=home,
        env={**os.environ, "CRUCIBLE_HOME": str(home), **outgoing.environment(watched)},
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        _wait_until_it_answers(f"http://127.0.0.1:{port}", server, home)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        log.close()
    assert not outgoing.calls(watched)
    assert not outgoing.kept(home)


def _wait_until_it_answers(url: str, server: subprocess.Popen[bytes], home: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"The app did not start:\n{(home / 'server.log').read_text()[-4000:]}")


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh tab that may reach nothing but this machine."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    context.set_default_timeout(TIMEOUT_MS)
    opened = context.new_page()
    elsewhere: list[str] = []
    opened.on("request", lambda request: _note_foreign(request.url, elsewhere))
    yield opened
    context.close()
    assert not elsewhere, f"the page asked for {elsewhere}"


def _note_foreign(url: str, found: list[str]) -> None:
    if not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "about:")):
        found.append(url)
