"""Logins: nobody sees a page without one where they are set up, and nothing of it where not."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import streamlit as st
from streamlit import config
from streamlit.testing.v1 import AppTest

from pages.components import links, login
from tests.browser.conftest import serve
from tests.security.conftest import PROJECT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

AUTH = """
[auth]
redirect_uri = "{url}/oauth2callback"
cookie_secret = "a-secret-of-at-least-thirty-two-letters"
client_id = "crucible"
client_secret = "CanaryClientSecret"
server_metadata_url = "{provider}/.well-known/openid-configuration"
"""


@pytest.fixture
def secrets(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Writes a file of secrets that Streamlit reads in this test."""
    before, address = config.get_option("secrets.files"), config.get_option("server.address")
    file = tmp_path / "secrets.toml"
    config.set_option("secrets.files", [str(file)])

    def write(text: str) -> None:
        file.write_text(text)
        st.secrets._reset()

    yield write
    config.set_option("secrets.files", before)
    config.set_option("server.address", address)
    st.secrets._reset()


def opened() -> AppTest:
    return AppTest.from_file(str(PROJECT / "pages" / "main.py"), default_timeout=60).run()


def test_nothing_is_drawn_without_a_login(home: Path, secrets: Any) -> None:
    secrets(AUTH.format(url="http://localhost:1", provider="http://localhost:2"))
    app = opened()
    assert [one.value for one in app.title] == ["Crucible"]
    assert [one.label for one in app.button] == ["Log in"]
    assert not app.sidebar.children and not app.exception


def test_several_providers_are_offered() -> None:
    auth = {
        "redirect_uri": "x",
        "cookie_secret": "y",
        "google": {"client_id": "a"},
        "okta": {"client_id": "b"},
    }
    assert login.providers(auth) == ["google", "okta"]
    assert login.providers({"client_id": "a"}) == [None]


def test_secrets_that_cannot_be_read_close_the_app(home: Path, secrets: Any) -> None:
    secrets("[auth\nclient_id = ")
    app = opened()
    assert "cannot be read" in app.error[0].value and not app.title


def test_other_secrets_are_no_logins(home: Path, secrets: Any) -> None:
    secrets("[other]\nkey = 1\n")
    assert len(opened().button) > 0 and opened().title[0].value != "Crucible"


@pytest.mark.parametrize("address", ["0.0.0.0", "", "192.0.2.1", "::", "example.org"])
def test_on_the_network_nothing_is_shown_without_logins(
    home: Path, secrets: Any, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.set_option("server.address", address)
    app = opened()
    assert "listens on the network" in app.error[0].value and not app.title
    monkeypatch.setenv(login.NO_LOGIN, "1")
    assert opened().title


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "::1", "127.0.0.9"])
def test_this_machine_is_no_network(secrets: Any, address: str) -> None:
    config.set_option("server.address", address)
    assert login.listens_here_only()


def test_who_is_allowed() -> None:
    ours = {"allowed_emails": ["Ada@Example.org"]}
    assert login.is_allowed({"email": "ada@example.org"}, ours)
    assert login.is_allowed({"email": "x@y"}, {})
    for user in (
        {},
        {"email": ""},
        {"email": "b@example.org"},
        {"email": None},
        {"email": "ada@example.org", "email_verified": False},
        {"email": "ada@example.org.evil"},
    ):
        assert not login.is_allowed(user, ours)
    assert not login.is_allowed({"email": "ada@example.org"}, {"allowed_emails": "ada@example.org"})
    assert not login.is_allowed({"email": "ada@example.org"}, {"allowed_emails": []})


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.browser
@pytest.mark.timeout(300)
def test_no_address_leads_around_the_login(
    tmp_path: Path, browser: Browser, free_port: int
) -> None:
    file, home = tmp_path / "secrets.toml", tmp_path / "home"
    home.mkdir()
    file.write_text(AUTH.format(url=f"http://localhost:{free_port}", provider="http://127.0.0.1:9"))
    command = ["-m", "streamlit", "run", str(PROJECT / "app.py"), f"--secrets.files={file}"]
    for url in serve(command, home, port=free_port):
        page = browser.new_page()
        page.set_default_timeout(60_000)
        for name in (*links.FILES, "nonsense"):
            page.goto(f"{url}/{name}?id=1&name=sandbox/base")
            page.get_by_role("button", name="Log in").wait_for()
            assert page.get_by_text("Log in to see").count() == 1
            assert page.get_by_test_id("stSidebarNav").count() == 0
            assert "sandbox" not in page.locator("body").inner_text()
        page.close()


@pytest.mark.browser
@pytest.mark.timeout(300)
def test_a_login_by_a_provider(tmp_path: Path, browser: Browser, free_port: int) -> None:
    """The whole way, with a provider of our own: in, refused by the list, out."""
    pytest.importorskip("authlib", reason='logins need `pip install "streamlit[auth]"`')
    from tests.security import oidc_server

    port, home = free_port, tmp_path / "home"
    home.mkdir()
    file = tmp_path / "secrets.toml"
    with oidc_server.running() as provider:
        file.write_text(
            AUTH.format(url=f"http://localhost:{port}", provider=provider.url)
            + '[crucible]\nallowed_emails = ["ada@example.org"]\n'
        )
        command = ["-m", "streamlit", "run", str(PROJECT / "app.py"), f"--secrets.files={file}"]
        for _ in serve(command, home, port=port):
            context = browser.new_context()
            context.set_default_timeout(60_000)
            page = context.new_page()
            provider.claims = {"email": "eve@example.org", "email_verified": True}
            page.goto(f"http://localhost:{port}/models")
            page.get_by_role("button", name="Log in").click()
            page.get_by_text("is not among those who may").wait_for()
            assert page.get_by_role("link", name="Leaderboard").count() == 0
            page.get_by_role("button", name="Log out").click()
            page.get_by_role("button", name="Log in").wait_for()
            provider.claims = {"email": "Ada@example.org", "email_verified": True}
            page.get_by_role("button", name="Log in").click()
            page.get_by_text("Logged in as Ada@example.org").wait_for()
            page.get_by_role("link", name="Leaderboard").first.wait_for()
            context.close()
        for path in home.rglob("*"):
            assert not path.is_file() or b"CanaryClientSecret" not in path.read_bytes()
