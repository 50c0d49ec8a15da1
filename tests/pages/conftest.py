"""Page tests: the router run without a browser, on a home of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

PROJECT = Path(__file__).resolve().parents[2]

Open = Callable[..., AppTest]


@pytest.fixture
def open_page(home: Path) -> Iterator[Open]:
    """Opens a page by its file name, with query parameters; fails on an exception in it."""
    st.cache_resource.clear()
    st.cache_data.clear()

    def opened(name: str = "home", /, **parameters: str) -> AppTest:
        app = AppTest.from_file(str(PROJECT / "pages" / "main.py"), default_timeout=30)
        if name != "home":
            app.run()
            app.switch_page(f"{name}.py")
        for key, value in parameters.items():
            app.query_params[key] = value
        app.run()
        assert not app.exception, app.exception
        return app

    yield opened


@pytest.fixture
def sandbox(home: Path) -> None:
    """The shipped models, registered."""
    from jobs.models import registry

    registry.ensure_sandbox()
