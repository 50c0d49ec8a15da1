"""An OpenAI-compatible chat endpoint as a judge, over the standard library's HTTP.

Nothing is followed elsewhere: a redirect is an error, because the key would go along. The key is
read from its environment variable for each run, sent to the one address that was named, and taken
out of every text that comes back before anybody sees it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import re
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult

from evaluation.judge.address import checked
from evaluation.judge.errors import JudgeFailure

MOST_BYTES = 4_000_000  # of one response
REDACTED = "[key]"
_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529}
MOST_WAIT_SECONDS = 60.0


class Refused(JudgeFailure):
    """Asking again would not help, and neither would the next question: stop."""


class Unanswered(JudgeFailure):
    """This question got no answer; the next one may."""


@dataclass(frozen=True)
class EndpointOptions:
    """How an endpoint is asked.

    Attributes:
        base_url: such as ``http://127.0.0.1:8000/v1``.
        model: name of the model there.
        timeout_seconds: for one answer, from sending to the last byte.
        attempts: for one answer, before it is given up.
        backoff_seconds: waited before the second attempt, doubled before each further one.
        max_tokens: of an answer.
        temperature: 0 for the likeliest words.
    """

    base_url: str
    model: str
    timeout_seconds: float = 120.0
    attempts: int = 5
    backoff_seconds: float = 1.0
    max_tokens: int = 1024
    temperature: float = 0.0


class Endpoint:
    """Asks one endpoint; may be used by several threads at once.

    Args:
        options: where and how.
        key: sent as a bearer token, None for no key.

    Raises:
        JudgeError: the address is none.
    """

    def __init__(self, options: EndpointOptions, key: str | None = None) -> None:
        self.options = options
        self._key = key or None
        self._url = checked(options.base_url)
        self._stopped = threading.Event()
        self._open: set[http.client.HTTPConnection] = set()
        self._lock = threading.Lock()
        self._left_out: set[str] = set()  # parameters that the server does not take
        self._renamed = False

    def stop(self) -> None:
        """End what is under way, in every thread, and ask nothing more."""
        self._stopped.set()
        with self._lock:
            for connection in list(self._open):
                _hang_up(connection)

    def ask(self, instruction: str, text: str) -> str:
        """The model's answer to a system and a user message.

        Raises:
            Refused: wrong key, unknown model, a redirect: no question will be answered.
            Unanswered: this question was not, after all attempts.
        """
        why = "it was stopped"
        for attempt in range(self.options.attempts):
            if self._stopped.is_set():
                raise Unanswered("The judge was stopped.")
            try:
                return self._once(instruction, text)
            except _Later as later:
                why = later.why
                wait = self._wait(attempt, later.after_seconds)
                if attempt + 1 < self.options.attempts:
                    self._stopped.wait(wait)
        tries = self.options.attempts
        times = "once" if tries == 1 else f"{tries} times"
        raise Unanswered(f"The judge at {self.host} was asked {times} and did not answer: {why}.")

    @property
    def host(self) -> str:
        """Host and port, without anything else of the address."""
        return str(self._url.netloc)

    def _wait(self, attempt: int, asked_seconds: float | None) -> float:
        if asked_seconds is not None:
            return min(MOST_WAIT_SECONDS, asked_seconds)
        # spread, so that threads that were refused together do not come back together
        doubled = self.options.backoff_seconds * 2.0**attempt
        return float(min(MOST_WAIT_SECONDS, doubled * random.uniform(0.5, 1.0)))

    def _once(self, instruction: str, text: str) -> str:
        connection = _connection(self._url, self.options.timeout_seconds)
        # The socket's own timeout begins anew with every byte: a server may drip them for ever.
        late = threading.Timer(self.options.timeout_seconds, _hang_up, [connection])
        late.daemon = True
        began = time.monotonic()
        with self._lock:
            self._open.add(connection)
        late.start()
        try:
            status, headers, body = self._exchange(connection, instruction, text)
        except ssl.SSLError as error:
            raise Refused(
                f"The judge at {self.host} cannot be reached safely: {self._clean(str(error))}."
            ) from None
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() - began >= self.options.timeout_seconds:
                limit = self.options.timeout_seconds
                raise _Later(f"no answer within {limit:g} seconds") from None
            said = self._clean(str(error)) or type(error).__name__
            raise _Later(f"the connection failed ({said[:200]})") from None
        finally:
            late.cancel()
            with self._lock:
                self._open.discard(connection)
            connection.close()
        return self._read(status, headers, body)

    def _exchange(
        self, connection: http.client.HTTPConnection, instruction: str, text: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        body = json.dumps(self._body(instruction, text)).encode()
        connection.request("POST", f"{self._url.path}/chat/completions", body, headers)
        response = connection.getresponse()
        pieces, size = [], 0
        while piece := response.read1(65_536):
            pieces.append(piece)
            size += len(piece)
            if size > MOST_BYTES:
                raise _Later(f"its answer is larger than {MOST_BYTES // 1_000_000} MB")
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        return response.status, response.headers, b"".join(pieces)

    def _body(self, instruction: str, text: str) -> dict[str, Any]:
        limit = "max_completion_tokens" if self._renamed else "max_tokens"
        body: dict[str, Any] = {
            "model": self.options.model,
            "messages": [
                {"role": "system", "content": instruction},
                {"role": "user", "content": text},
            ],
            "temperature": self.options.temperature,
            limit: self.options.max_tokens,
            "stream": False,
        }
        return {name: value for name, value in body.items() if name not in self._left_out}

    def _read(self, status: int, headers: http.client.HTTPMessage, body: bytes) -> str:
        if status == 200:
            return self._answer(body)
        said = self._said(body)
        if 300 <= status < 400:
            raise Refused(
                f"The judge at {self.host} redirects elsewhere (status {status}); nothing is sent "
                "there. Name the final address as the base URL."
            )
        if status in _AGAIN:
            raise _Later(f"status {status}{said}", _after(headers.get("Retry-After")))
        if status == 400 and self._adapted(said):
            raise _Later(f"status {status}{said}", 0.0)
        hint = {
            401: " Check the key in its environment variable.",
            403: " Check the key in its environment variable.",
            404: " Check the base URL (it often ends in /v1) and the model's name.",
        }.get(status, "")
        raise Refused(f"The judge at {self.host} refused with status {status}{said}.{hint}")

    def _adapted(self, said: str) -> bool:
        """Whether a refusal names a parameter that this server wants otherwise."""
        if "max_completion_tokens" in said and not self._renamed:
            self._renamed = True
            return True
        if "temperature" in said and "temperature" not in self._left_out:
            self._left_out.add("temperature")
            return True
        return False

    def _answer(self, body: bytes) -> str:
        try:
            data = json.loads(body)
            message = data["choices"][0]["message"]
            content = message["content"]
        except (ValueError, KeyError, IndexError, TypeError, RecursionError):
            raise _Later("its answer is not in the form of a chat completion") from None
        if isinstance(content, list):  # some servers give the text in parts
            content = "".join(
                str(part.get("text", "")) for part in content if isinstance(part, dict)
            )
        return self._clean("" if content is None else str(content))

    def _said(self, body: bytes) -> str:
        """What an error says, in a few words."""
        text = self._clean(body.decode("utf-8", "replace"))[:20_000]
        try:
            data = json.loads(text)
            error = data.get("error", data) if isinstance(data, dict) else data
            text = str(error.get("message", error) if isinstance(error, dict) else error)
        except (ValueError, RecursionError):
            text = re.sub(r"<[^>]*>", " ", text)
        text = " ".join(self._clean(text).split())[:200].rstrip(".")
        return f" ({text})" if text else ""

    def _clean(self, text: str) -> str:
        """A text without the key, whoever has put it there."""
        return text.replace(self._key, REDACTED) if self._key else text


class _Later(Exception):
    """Worth another attempt."""

    def __init__(self, why: str, after_seconds: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.after_seconds = after_seconds


def _after(header: str | None) -> float | None:
    """Seconds that a server asks to wait; dates and nonsense are not followed."""
    try:
        seconds = float(header) if header else None
    except ValueError:
        return None
    return None if seconds is None or not 0 <= seconds < 1e6 else seconds


def _hang_up(connection: http.client.HTTPConnection) -> None:
    """End what goes on over a connection; shutdown, not close: only this wakes a waiting thread."""
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def _connection(url: SplitResult, timeout_seconds: float) -> http.client.HTTPConnection:
    host = url.hostname or ""
    if url.scheme == "https":
        return http.client.HTTPSConnection(host, url.port, timeout=timeout_seconds)
    return http.client.HTTPConnection(host, url.port, timeout=timeout_seconds)
