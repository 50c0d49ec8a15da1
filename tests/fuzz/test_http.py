"""Requests of any shape to the running app: an answer within five seconds, never a traceback."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.judged import MOST_SECONDS, inputs, judge
from tests.security.conftest import served as served  # the fixture

METHODS = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "PATCH",
    "TRACE",
    "CONNECT",
    "get",
    "X",
]
PATHS = [
    "/",
    "/build",
    "/model?id=1",
    "/job?id=%00",
    "/leaderboard?suite=../../x",
    "/_stcore/health",
    "/_stcore/host-config",
    "/_stcore/stream",
    "/_stcore/upload_file/../../etc/passwd",
    "/_stcore/upload_file/a/b",
    "/media/../../../../etc/passwd",
    "/media/%2e%2e%2fetc%2fpasswd",
    "/static/../../../app.py",
    "/app/static/../../.streamlit/secrets.toml",
    "//evil.example/x",
    "/component/../../x",
    "/\\\\evil\\share",
    "http://evil.example/",
    "*",
    "/%ff%fe",
    "/" + "a" * 5000,
    "/_stcore/agent/mcp",
    "/_stcore/agent/openapi.json",
    "/oauth2callback?code=x&state=y",
    "/auth/login?provider=x",
    "/auth/logout",
]
HEADERS = [
    "Host: HERE",
    "Host: evil.example",
    "Host: HERE\r\nHost: HERE",
    "Content-Length: 5",
    "Content-Length: -1",
    "Content-Length: 999999999999",
    "Content-Length: x",
    "Transfer-Encoding: chunked",
    "Connection: Upgrade\r\nUpgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Key: x",
    "Sec-WebSocket-Protocol: streamlit, x, y",
    "Origin: http://evil.example",
    "Origin: http://HERE",
    "Cookie: _streamlit_xsrf=x; _streamlit_user=y",
    "X-Xsrftoken: x",
    "Range: bytes=0-99999999999",
    "Range: bytes=-1--1",
    "Accept-Encoding: gzip, x",
    "Expect: 100-continue",
    "Content-Type: multipart/form-data; boundary=x",
    "Content-Type: multipart/form-data",
    "X: " + "y" * 9000,
    "\x00: x",
    ": x",
    "no colon",
]
BODIES = [
    b"",
    b"hello",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"ffffffff\r\n",
    b"--x\r\n\r\n--x--",
    b"\x81\x05hello",
    b"\x82\xff" + b"\xff" * 12,
    bytes(2000),
]

requests = st.one_of(
    st.tuples(
        st.sampled_from(METHODS),
        st.sampled_from(PATHS) | st.text(max_size=20).map("/{}".format),
        st.lists(st.sampled_from(HEADERS), max_size=5),
        st.booleans(),
        st.sampled_from(BODIES),
    ).map(lambda one: _request(*one)),
    st.binary(max_size=200),
)


def _request(method: str, path: str, headers: list[str], named: bool, body: bytes) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(["Host: HERE"] if named else []), *headers]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogatepass") + body


def send(where: tuple[str, int], content: bytes) -> bytes:
    """What comes back until the server closes, or has said what it had to; our side is closed."""
    with socket.create_connection(where, timeout=MOST_SECONDS) as connection:
        connection.settimeout(MOST_SECONDS)
        try:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            found = b""
            while part := connection.recv(65536):
                found += part
                if len(found) > 2_000_000:
                    break
            return found
        except (ConnectionResetError, BrokenPipeError):
            return b""


def test_requests(served: tuple[str, Path]) -> None:
    url, home = served
    where = (urlsplit(url).hostname or "", urlsplit(url).port or 0)
    here = f"{where[0]}:{where[1]}".encode()

    @inputs(150)
    @given(requests)
    def fuzz(content: bytes) -> None:
        answer = judge(lambda: send(where, content.replace(b"HERE", here)), "HTTP request")
        status = answer[:13].split(b" ")[1:2]
        assert not status or status[0].isdigit() and int(status[0]) != 500, answer[:300]
        for secret in (b"Traceback", b"root:x:", b"cookie_secret", b'File "'):
            assert secret not in answer

    fuzz()
    started = time.monotonic()
    request = b"GET /_stcore/health HTTP/1.1\r\nHost: HERE\r\nConnection: close\r\n\r\n"
    assert b"200 OK" in send(where, request.replace(b"HERE", here))
    assert time.monotonic() - started < MOST_SECONDS
    assert "Traceback" not in (home / "server.log").read_text(errors="replace")
