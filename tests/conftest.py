"""What every test gets: a home of its own, no network, one torch thread."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import chromium
from tests.postgres_server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Set before anything of ours (or of Hugging Face's) is imported, so that no test can write into
# the user's own data folder or reach for a hub. Children of the tests inherit it.
_SESSION_HOME = tempfile.mkdtemp(prefix="crucible-tests-")
os.environ["CRUCIBLE_HOME"] = _SESSION_HOME
os.environ.pop("CRUCIBLE_DATABASE_URL", None)
os.environ.update(
    HF_HOME=f"{_SESSION_HOME}/hf",
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    TOKENIZERS_PARALLELISM="false",
    OMP_NUM_THREADS="1",
)

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A PostgreSQL server of this test process; skipped, or failed where CI=true, without one."""
    server = Server()
    yield server
    server.remove()


@pytest.fixture
def postgres_database(postgres_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty database with our tables, which the settings name; its URL."""
    from db.engine import close_databases

    url = postgres_server.migrated()
    monkeypatch.setenv("CRUCIBLE_DATABASE_URL", url)
    yield url
    close_databases()
    postgres_server.drop(url)


@pytest.fixture(autouse=os.environ.get("CRUCIBLE_TEST_DATABASE") == "postgresql")
def _everywhere(request: pytest.FixtureRequest) -> None:
    """With CRUCIBLE_TEST_DATABASE=postgresql every test has its database there."""
    if request.node.get_closest_marker("sqlite") is None:
        request.getfixturevalue("postgres_database")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty CRUCIBLE_HOME for one test."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("CRUCIBLE_HOME", str(folder))
    yield folder


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's root folder."""
    return PROJECT


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests: playwright runs only once in a process."""
    found = chromium.find()
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=chromium.TIMEOUT_MS)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=chromium.FLAGS)
        yield launched
        launched.close()


def pytest_sessionfinish() -> None:
    """Leave nothing behind in the temporary folder."""
    shutil.rmtree(_SESSION_HOME, ignore_errors=True)
