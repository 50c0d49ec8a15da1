"""A running app for the tests that knock at its door."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.conftest import serve

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address and home of an app of this module's own; watched like all of them."""
    home = tmp_path_factory.mktemp("served")
    for url in serve(["-m", "streamlit", "run", str(PROJECT / "app.py")], home):
        yield url, home
