"""A server that speaks as much of the Hub's API as downloading a model takes."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlparse

COMMIT = "c0ffee" + "0" * 34
REVISIONS = {"main": COMMIT, COMMIT: COMMIT}  # what a revision may be called, and its commit


class HubServer:
    """Serves folders as models and as datasets; some ids answer with errors. A context manager.

    | id | answer |
    |---|---|
    | org/gated, org/private, org/down, org/forbidden | 403 gated, 401, 503, 403 |
    | anything not served | 404 as the Hub words it |
    """

    def __init__(self, models: dict[str, Path]) -> None:
        self.requests: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self.answer(with_body=False)

            def do_GET(self) -> None:
                self.answer(with_body=True)

            def answer(self, *, with_body: bool) -> None:
                path = unquote(urlparse(self.path).path)
                server.requests.append(f"{self.command} {path}")
                status, headers, body = respond(path, models)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if with_body:
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


Answer = tuple[int, dict[str, str], bytes]


def respond(path: str, models: dict[str, Path]) -> Answer:
    """The answer to a request."""
    parts = path.strip("/").removeprefix("datasets/").split("/")
    api = parts[0] == "api" and parts[1] in ("models", "datasets")
    ref = "/".join(parts[2:4] if api else parts[:2])
    errors = {
        "org/gated": failure(403, "GatedRepo", "Access to this model is restricted."),
        "org/private": failure(401, "RepoNotFound", "Repository not found"),
        "org/forbidden": failure(403, "", "Forbidden"),
        "org/down": failure(503, "", "Service Unavailable"),
    }
    if ref in errors:
        return errors[ref]
    if ref not in models:
        return failure(404, "RepoNotFound", "Repository not found")
    rest = parts[4:] if api else parts[2:]
    revision = rest[1] if len(rest) > 1 else "main"
    if revision not in REVISIONS:
        return failure(404, "RevisionNotFound", "Invalid rev id")
    if api and rest[:1] == ["tree"]:
        return 200, {"Content-Type": "application/json"}, json.dumps(tree(models[ref])).encode()
    if api:
        info = {
            "id": ref,
            "sha": REVISIONS[revision],
            "private": False,
            "gated": False,
            "siblings": [],
        }
        return 200, {"Content-Type": "application/json"}, json.dumps(info).encode()
    file = models[ref] / "/".join(rest[2:])
    if not file.is_file():
        return failure(404, "EntryNotFound", "Entry not found")
    data = file.read_bytes()
    return 200, {"ETag": f'"{git_id(data)}"', "X-Repo-Commit": REVISIONS[revision]}, data


def tree(folder: Path) -> list[dict[str, object]]:
    """The files of a folder as the Hub lists them."""
    return [
        {
            "type": "file",
            "path": str(file.relative_to(folder)),
            "size": file.stat().st_size,
            "oid": git_id(file.read_bytes()),
        }
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    ]


def git_id(data: bytes) -> str:
    """The id of a blob."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def failure(status: int, code: str, message: str) -> Answer:
    """An error as the Hub reports it."""
    return status, {"X-Error-Code": code, "X-Error-Message": message}, b""
