"""The browser of the tests that look at something.

Chromium is `CRUCIBLE_CHROMIUM`, else the first of the usual names on the path. Without one these
tests are skipped, and fail where `CI=true`.
"""

from __future__ import annotations

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
TIMEOUT_MS = 90_000  # the machine may be busy


def find() -> str:
    """Path of the browser."""
    named = os.environ.get("CRUCIBLE_CHROMIUM")
    found = named or next((path for path in map(shutil.which, NAMES) if path), None)
    if found:
        return found
    reason = "there is no Chromium: install one, or name it in CRUCIBLE_CHROMIUM"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason)
    pytest.skip(reason)
