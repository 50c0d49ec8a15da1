"""The server's door: whom it answers, what it lets a page load, and what it takes."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests import outgoing
from tests.security.conftest import PROJECT

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}
PATHS = [
    "/",
    "/_stcore/health",
    "/_stcore/host-config",
    "/build",
    "/static/js/x.js",
    "/media/abc.png",
    "/_stcore/upload_file/a/b",
    "/component/x/y",
]


def ask(
    url: str, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; `Host` as told."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if body is not None and "Content_Length" not in headers:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, found, answer.read() if answer.status != 101 else b""
    finally:
        connection.close()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8501",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[::1]",
        "127.0.0.1@evil.example",
        "",
    ],
)
def test_another_name_is_refused(served: tuple[str, Path], path: str, host: str) -> None:
    """A page that has its own name lead here (DNS rebinding) reads nothing."""
    status, _, body = ask(served[0], "GET", path, Host=host)
    assert status in (400, 421)
    assert b"streamlit" not in body.lower()


@pytest.mark.parametrize("path", ["/", "/_stcore/health", "/build"])
def test_its_own_names_are_answered(served: tuple[str, Path], path: str) -> None:
    port = urlsplit(served[0]).port
    for host in ("localhost", f"localhost:{port}", f"127.0.0.1:{port}", "LOCALHOST"):
        assert ask(served[0], "GET", path, Host=host)[0] == 200


def test_websockets_of_other_sites_are_refused(served: tuple[str, Path]) -> None:
    host = urlsplit(served[0]).netloc
    same = ask(served[0], "GET", "/_stcore/stream", Host=host, Origin=f"http://{host}", **UPGRADE)
    assert same[0] == 101
    for origin, name in (
        ("http://evil.example", host),
        ("http://evil.example", "evil.example"),
        ("null", host),
    ):
        status = ask(served[0], "GET", "/_stcore/stream", Host=name, Origin=origin, **UPGRADE)[0]
        assert status == 403, (origin, name, status)


def test_uploads_need_the_token_and_have_a_limit(served: tuple[str, Path]) -> None:
    place = "/_stcore/upload_file/none/none"
    assert ask(served[0], "PUT", place, b"x")[0] == 403
    _, headers, _ = ask(served[0], "GET", "/_stcore/health")
    found = re.search(r"_streamlit_xsrf=([^;]+)", headers["set-cookie"])
    assert found is not None
    token = {"Cookie": f"_streamlit_xsrf={found[1]}", "X_Xsrftoken": found[1]}
    status, _, _ = ask(served[0], "PUT", place, b"x", **token)
    assert status == 400  # no such session, and the token was good
    for path in ("/", "/build", "/_stcore/health"):
        assert ask(served[0], "POST", path, b"x" * 100)[0] in (404, 405)


def test_no_other_site_may_read(served: tuple[str, Path]) -> None:
    for path in PATHS:
        _, headers, _ = ask(served[0], "GET", path, Origin="http://evil.example")
        assert headers.get("access-control-allow-origin") not in ("*", "http://evil.example")


def test_a_page_may_load_nothing_from_elsewhere(served: tuple[str, Path]) -> None:
    _, headers, _ = ask(served[0], "GET", "/build")
    policy = dict(
        part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'self'" and policy["object-src"] == "'none'"
    assert "'unsafe-inline'" not in policy["script-src"]
    for told in policy.values():
        assert not re.search(r"https?:|\*|wss?:", told)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"


def test_it_listens_on_this_machine_alone(served: tuple[str, Path]) -> None:
    port = urlsplit(served[0]).port
    mine = psutil.Process()
    addresses = {
        connection.laddr.ip
        for child in mine.children(recursive=True)
        for connection in _listening(child)
        if connection.laddr.port == port
    }
    assert addresses == {"127.0.0.1"}


def _listening(process: psutil.Process) -> list[psutil._common.pconn]:
    try:
        return [c for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    except psutil.Error:
        return []


def test_streamlits_own_doors_are_shut() -> None:
    config = tomllib.loads((PROJECT / ".streamlit" / "config.toml").read_text())
    server = config["server"]
    assert server["address"] == "127.0.0.1" and server["allowedHosts"] == ["localhost", "127.0.0.1"]
    assert server["enableCORS"] and server["enableXsrfProtection"]
    assert not server["enableAgentApi"] and not server["enableStaticServing"]
    assert server["maxUploadSize"] <= 20
    assert config["browser"]["gatherUsageStats"] is False


def test_the_agent_interface_is_shut(served: tuple[str, Path]) -> None:
    for path in ("/_stcore/agent/interact", "/_stcore/agent/mcp"):
        status, _, _ = ask(served[0], "POST", path, b"{}", Content_Type="application/json")
        assert status >= 400


def test_every_process_has_telemetry_switched_off(tmp_path: Path) -> None:
    """Importing the queue is enough, before any library that would report; a wish is kept."""
    code = "import jobs, json, os; print(json.dumps(dict(os.environ)))"
    bare = {
        key: value
        for key, value in os.environ.items()
        if key not in ("HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK")
    }
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=bare,
        text=True,
        capture_output=True,
        check=True,
    )
    found = json.loads(said.stdout)
    for name, value in {
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "WANDB_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
    }.items():
        assert found[name] == value
    wished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        text=True,
        check=True,
        env={**bare, "DO_NOT_TRACK": "0"},
        capture_output=True,
    )
    assert json.loads(wished.stdout)["DO_NOT_TRACK"] == "0"


def test_the_watch_sees_a_call_of_a_forked_child(tmp_path: Path) -> None:
    """What the journey's tests rely on: a forked child's call is noted, a local one is not."""
    code = """
import os, socket
def call(address):
    with socket.socket() as one:
        one.settimeout(0.01)
        try: one.connect(address)
        except OSError: pass
call(("127.0.0.1", 9))
if os.fork() == 0:
    call(("198.51.100.7", 9))
    os._exit(0)
os.wait()
"""
    env = {**os.environ, **outgoing.environment(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=60)
    (noted,) = outgoing.calls(tmp_path)
    assert "198.51.100.7" in str(noted["to"])
    born = [one for one in outgoing.notes(tmp_path) if one["event"] == "born"]
    assert noted["pid"] not in {one["pid"] for one in born}
    (tmp_path / "kept").write_text("x" + outgoing.CANARIES["HF_TOKEN"])
    assert outgoing.kept(tmp_path) == [f"{tmp_path / 'kept'}: HF_TOKEN"]
