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


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty CRUCIBLE_HOME for one test."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("CRUCIBLE_HOME", str(folder))
    monkeypatch.delenv("CRUCIBLE_DATABASE_URL", raising=False)
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
