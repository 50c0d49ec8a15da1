"""A study's page in a fresh browser: its largest programs are fetched while the app itself starts.

Streamlit's app asks for the program that draws a picture or a table when the first one arrives,
which is after it has started, connected and waited for the script. A `Link` header beside the page
has the browser fetch and read it meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

PATH = "/study"
TABLES = ("DataFrame", "arrowFormatUtils")
WANTED = {"": TABLES, "overview": TABLES, "points": TABLES, "report": ()}
PICTURES = ("PlotlyChart",)


class Ahead:
    """ASGI middleware that adds the header to a study's page.

    Args:
        app: what answers.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["path"].endswith(PATH):
            header = links(scope.get("query_string", b"").decode("latin-1"))
            send = _with(send, header) if header else send
        await self.app(scope, receive, send)


def links(query: str) -> bytes:
    """The header's value for an address: what its view is drawn by; empty where that is nothing."""
    view = parse_qs(query).get("view", [""])[0]
    found = [_file(name) for name in WANTED.get(view, PICTURES)]
    return ", ".join(f"<./static/js/{one}>; rel=modulepreload" for one in found if one).encode()


@cache
def _file(name: str) -> str | None:
    """Streamlit's file of that name, whatever its hash; None where there is not just one."""
    import streamlit

    folder = Path(streamlit.__file__).parent / "static" / "static" / "js"
    found: Sequence[Path] = sorted(folder.glob(f"{name}.*.js"))
    return found[0].name if len(found) == 1 else None


def _with(send: Any, header: bytes) -> Any:
    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            message = {**message, "headers": [*message.get("headers", ()), (b"link", header)]}
        await send(message)

    return sending
