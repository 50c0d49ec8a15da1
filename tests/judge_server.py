"""A small OpenAI-compatible server that behaves as its model's name says."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-secret-0123456789abcdef"


class JudgeServer:
    """Answers on a free port of this machine; counts what it was asked.

    Attributes:
        requests: bodies of all requests, in order.
        headers: their headers.
        stumble: how many requests are refused before the first is answered.
        status: with which status.
        reply: makes the answer's text from a request's body.
    """

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.stumble = 0
        self.status = 429
        self.retry_after: str | None = "0"
        self.reply: Callable[[dict[str, Any]], str] = longer_is_better
        self.hold = threading.Event()
        self.most_at_once = 0
        self.drips = 0
        self._now = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                outer.handle(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        """One request."""
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self._lock:
            self.requests.append(body)
            self.headers.append(dict(handler.headers.items()))
            self.paths.append(handler.path)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            stumbles = self.stumble > 0
            self.stumble -= stumbles
        try:
            if stumbles:
                send(handler, self.status, {"error": {"message": f"slow down, {KEY}"}},
                     {"Retry-After": self.retry_after} if self.retry_after else {})  # fmt: skip
            else:
                getattr(self, f"be_{body['model']}")(handler, body)
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True
        finally:
            with self._lock:
                self._now -= 1

    def be_good(self, handler: Any, body: Any) -> None:
        """Answers at once."""
        send(handler, 200, completion(self.reply(body)))

    def be_slow(self, handler: Any, body: Any) -> None:
        """Answers after a while."""
        time.sleep(0.15)
        send(handler, 200, completion(self.reply(body)))

    def be_hanging(self, handler: Any, body: Any) -> None:
        """Never answers, until the test lets it."""
        self.hold.wait(30)

    def be_dripping(self, handler: Any, body: Any) -> None:
        """Sends a byte now and then, for ever."""
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(300):
            self.drips += 1
            handler.wfile.write(b" ")
            handler.wfile.flush()
            if self.hold.wait(0.1):
                return

    def be_malformed(self, handler: Any, body: Any) -> None:
        """Sends what is no JSON."""
        send(handler, 200, b"<html>Welcome</html>")

    def be_other(self, handler: Any, body: Any) -> None:
        """Sends JSON of another form."""
        send(handler, 200, {"choices": []})

    def be_cut(self, handler: Any, body: Any) -> None:
        """Promises more than it sends."""
        handler.send_response(200)
        handler.send_header("Content-Length", "5000")
        handler.end_headers()
        handler.wfile.write(b'{"choices": [')
        handler.close_connection = True

    def be_huge(self, handler: Any, body: Any) -> None:
        """Sends five megabytes."""
        send(handler, 200, completion("x" * 5_000_000))

    def be_elsewhere(self, handler: Any, body: Any) -> None:
        """Sends the asker on to another host."""
        send(handler, 307, {}, {"Location": "http://192.0.2.1/v1/chat/completions"})

    def be_echo(self, handler: Any, body: Any) -> None:
        """Answers with the key that it was sent."""
        send(handler, 200, completion(f"You sent {handler.headers['Authorization']}. [[6]]"))

    def be_locked(self, handler: Any, body: Any) -> None:
        """Refuses the key, naming it."""
        said = f"Incorrect key provided: {handler.headers['Authorization']}"
        send(handler, 401, {"error": {"message": said}})

    def be_modern(self, handler: Any, body: Any) -> None:
        """Wants the newer name of the limit, and no temperature."""
        if "max_tokens" in body:
            send(handler, 400, {"error": {"message": "Use 'max_completion_tokens' instead."}})
        elif "temperature" in body:
            send(handler, 400, {"error": {"message": "Unsupported value: 'temperature'."}})
        else:
            send(handler, 200, completion(self.reply(body)))

    def be_parts(self, handler: Any, body: Any) -> None:
        """Gives its text in parts."""
        send(handler, 200, completion([{"type": "text", "text": "Good. "},
                                       {"type": "text", "text": "[[8]]"}]))  # fmt: skip

    def be_silent(self, handler: Any, body: Any) -> None:
        """Answers with no text at all."""
        send(handler, 200, completion(None))


def completion(content: Any) -> dict[str, Any]:
    """A chat completion."""
    return {"choices": [{"message": {"role": "assistant", "content": content}}]}


def send(handler: Any, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
    """A response."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(data)


QUOTED = re.compile(r"Assistant(?: [AB])?: <<<(.*?)>>>", re.DOTALL)


def longer_is_better(body: dict[str, Any]) -> str:
    """A consistent judge: the longer last answer is better; a grade is its length up to ten."""
    text = body["messages"][1]["content"]
    if "assistant B" not in text:
        return f"It is of some length. [[{max(1, min(10, len(QUOTED.findall(text)[-1])))}]]"
    first, second = (QUOTED.findall(half)[-1] for half in text.split("Conversation with")[1:3])
    mark = "C" if len(first) == len(second) else "A" if len(first) > len(second) else "B"
    return f"I have compared them. [[{mark}]]"


@contextmanager
def serving() -> Iterator[JudgeServer]:
    """A running server."""
    server = JudgeServer()
    thread = threading.Thread(target=server._server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.hold.set()
        server._server.shutdown()
        server._server.server_close()
        thread.join()
