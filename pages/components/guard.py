"""What stands before every request: whose name the server answers to, and what a page may load.

Streamlit looks at the Host header of WebSockets alone; a page of another site that has its own
name lead here (DNS rebinding) could still read files and health by plain requests. And a page may
load nothing from anywhere else, whatever a model's answer or name brings into it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit import config
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

WRONG_NAME = (
    b"This server does not answer to that name. Open it as http://localhost:PORT, or add the "
    b"name to server.allowedHosts (docs/security.md)."
)
WRONG_SITE = b"This request comes from a page of another site."
INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
# Plotly's and the tables' programs make functions from text; nothing else may come from text.
POLICY = (
    "default-src 'self'; script-src 'self' blob: 'unsafe-eval' {scripts}; "
    "worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; media-src 'self' data: blob:; connect-src 'self' data: blob:; "
    "frame-src 'self' data: blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self'"
)


class Guard:
    """ASGI middleware: refuses other names of the host and sends the headers a browser obeys.

    Args:
        app: what answers.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif not is_host_allowed(_header(scope, b"host")):
            await _refuse(scope, receive, send, 421, WRONG_NAME)
        elif not _is_own_site(scope):
            await _refuse(scope, receive, send, 403, WRONG_SITE)
        else:
            await self.app(scope, receive, _with_headers(send))


def _header(scope: Any, wanted: bytes) -> str | None:
    """A header's value; None without it, or with several."""
    found = [value for name, value in scope["headers"] if name == wanted]
    return found[0].decode("latin-1") if len(found) == 1 else None


def _is_own_site(scope: Any) -> bool:
    """Whether no page of another site asks.

    Streamlit would find that out by asking the world for its own address, at every such request.
    """
    if all(name != b"origin" for name, _ in scope["headers"]):
        return True
    origin = (_header(scope, b"origin") or "").lower()
    host = (_header(scope, b"host") or "").lower()
    if origin.split("://", 1)[-1] == host and origin.startswith(("http://", "https://")):
        return True
    return origin in {str(one).lower().rstrip("/")
                      for one in config.get_option("server.corsAllowedOrigins")}  # fmt: skip


async def _refuse(scope: Any, receive: Any, send: Any, status: int, why: bytes) -> None:
    if scope["type"] == "websocket":
        await receive()  # the connection has to be asked for before it is refused
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"),
               (b"content-length", str(len(why)).encode())]  # fmt: skip
    await send({"type": "http.response.start", "status": status, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else why
    await send({"type": "http.response.body", "body": body})


def _with_headers(send: Any) -> Any:
    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *_headers()]
        await send(message)

    return sending


@cache
def _headers() -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b"content-security-policy", POLICY.format(scripts=_inline_scripts()).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"SAMEORIGIN"),
        (b"referrer-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
    )


def _inline_scripts() -> str:
    """Hashes of the scripts that stand in Streamlit's own page."""
    page = (Path(st.__file__).parent / "static" / "index.html").read_bytes()
    found = (hashlib.sha256(text).digest() for text in INLINE_SCRIPT.findall(page))
    return " ".join(f"'sha256-{base64.b64encode(one).decode()}'" for one in found)
