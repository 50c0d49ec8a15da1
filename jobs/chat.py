"""Conversations for the pages: a client of the chat process, one process per web server.

The web process never loads a model. The first message starts `python -m chat.child`; it ends when
the server does, when nothing was asked for a while, or on `close`. Should it be killed, the
running answer ends in one sentence and the next message starts another.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from chat.errors import ChatError
from chat.protocol import Message, Settings, Turn, decode, encode
from db import settings as places
from db.queries import models as model_rows
from jobs.models import adapters, consent

__all__ = ["ChatError", "ChatSession", "Message", "Settings", "Turn", "folder_of"]

PROJECT = Path(__file__).resolve().parent.parent
IDLE_SECONDS = 600.0


class ChatSession:
    """One chat process and everybody who talks through it.

    Args:
        idle_seconds: after so long without a request the process ends and frees its memory.
        device: "auto", "cpu" or "cuda".
    """

    def __init__(self, *, idle_seconds: float = IDLE_SECONDS, device: str = "auto") -> None:
        self.idle_seconds = idle_seconds
        self.device = device
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._process: _Process | None = None

    @property
    def pid(self) -> int | None:
        """Process number of the chat process while it lives."""
        process = self._process
        return process.pid if process and process.alive else None

    def warm(self) -> None:
        """Start the process ahead of the first message, so that its imports are done by then."""
        with self._lock:
            self._living()

    def stream(
        self,
        turns: Sequence[Turn],
        settings: Settings,
        while_waiting: Callable[[], object] = lambda: None,
    ) -> Iterator[dict[str, Any]]:
        """Answer one or more turns together; closing the iterator stops the answers.

        Args:
            turns: what to answer.
            settings: for all of them.
            while_waiting: called about once a second without an event; what it raises stops the
                answers.

        Yields:
            The events "loading", "started", "text", "done" and "error" of `chat.protocol`, each
            with `which`, the place of its turn.

        Raises:
            ChatError: the process ended before the answers did.
        """
        while True:
            number, process, events = self._ask(turns, settings)
            ended = heard = False
            try:
                while not ended:
                    event = process.next_event(events, while_waiting)
                    if event is None:
                        break
                    heard = True
                    ended = event["event"] == "end"
                    if not ended:
                        yield event
            finally:
                process.listeners.pop(number, None)
                if not ended:
                    process.send({"do": "stop", "id": number})
            if ended:
                return
            # A process that ended in peace before it heard us had just become idle: ask another.
            if heard or process.exit_code != 0:
                raise ChatError(process.obituary())

    def _ask(
        self, turns: Sequence[Turn], settings: Settings
    ) -> tuple[int, _Process, queue.Queue[dict[str, Any] | None]]:
        """Send a request; return its number, who answers it, and where the answers come in."""
        number = next(self._numbers)
        trusted = consent.granted()
        events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        with self._lock:
            process = self._living()
        process.listeners[number] = events
        process.send({
            "do": "chat",
            "id": number,
            "turns": [{**turn.model_dump(), "trusted_code": trusted} for turn in turns],
            "settings": settings.model_dump(),
        })  # fmt: skip
        return number, process, events

    def unload(self) -> None:
        """Let go of the models; the process stays."""
        if self._process and self._process.alive:
            self._process.send({"do": "unload"})

    def close(self) -> None:
        """End the process, which gives everything back."""
        with self._lock:
            if self._process:
                self._process.end()
                self._process = None

    def _living(self) -> _Process:
        """The process, started when there is none; only with the lock held."""
        if self._process is None or not self._process.alive:
            self._process = _Process(self.idle_seconds, self.device)
        return self._process


class _Process:
    """The child and the thread that reads it."""

    def __init__(self, idle_seconds: float, device: str) -> None:
        self.listeners: dict[int, queue.Queue[dict[str, Any] | None]] = {}
        self._command = [
            sys.executable, "-m", "chat.child",
            "--idle-seconds", str(idle_seconds), "--device", device,
        ]  # fmt: skip
        self._child: subprocess.Popen[bytes] | None = None
        self._failure: OSError | None = None
        self._writing = threading.Lock()
        started = threading.Event()
        # Linux kills the child when the *thread* that started it ends, so a thread that lives as
        # long as the child starts it, and not the script thread of some page.
        self._reader = threading.Thread(target=self._keep, args=(started,), daemon=True)
        self._reader.start()
        started.wait()
        if self._failure:
            raise ChatError(f"The chat process could not be started: {self._failure}.")

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    @property
    def exit_code(self) -> int | None:
        """Of the ended process, negative for a signal."""
        return self._child.wait() if self._child else None

    def next_event(
        self,
        events: queue.Queue[dict[str, Any] | None],
        while_waiting: Callable[[], object] = lambda: None,
    ) -> dict[str, Any] | None:
        """The next event of a request, or None when the process has ended without one."""
        while True:
            try:
                return events.get(timeout=1.0)
            except queue.Empty:
                # it may have ended before this request was listening
                if not self._reader.is_alive() and events.empty():
                    return None
                while_waiting()

    def send(self, message: dict[str, Any]) -> None:
        """Write one line; a process that is gone is noticed by its reader."""
        pipe = self._child.stdin if self._child else None
        if pipe:
            with self._writing, contextlib.suppress(OSError, ValueError):
                pipe.write(encode(message))
                pipe.flush()

    def end(self) -> None:
        """Close the process's input, which ends it; kill it if it does not listen."""
        child = self._child
        if child is None:
            return
        with self._writing, contextlib.suppress(OSError, ValueError):
            if child.stdin:
                child.stdin.close()
        try:
            child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def obituary(self) -> str:
        """Why the answer ended, as a sentence."""
        code = self.exit_code
        if code is not None and code < 0:
            how = f"was killed (signal {-code})"
            if code == -9:
                how += ", perhaps because memory ran out"
        else:
            how = f"ended unexpectedly (exit code {code})"
        return f"The chat process {how}. Send the message again to start it anew."

    def _keep(self, started: threading.Event) -> None:
        """Start the child and hand its events to whoever waits for them, until it ends."""
        try:
            with _log() as log:
                self._child = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    cwd=PROJECT,
                    start_new_session=True,  # Ctrl+C in a terminal is the server's to handle
                    env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
                )
        except OSError as error:
            self._failure = error
            return
        finally:
            started.set()
        with contextlib.suppress(BrokenPipeError), self._child as child:  # closes the pipes
            assert child.stdout
            for line in child.stdout:
                event = decode(line)
                listener = self.listeners.get(event.get("id", 0))
                if listener:
                    listener.put(event)
        for listener in list(self.listeners.values()):
            listener.put(None)


def _log() -> IO[bytes]:
    """What libraries print in the chat process goes to a file beside the jobs' logs."""
    return (places.logs_folder() / "chat.log").open("ab")


def folder_of(name: str) -> str:
    """Folder of a registered model, for a turn.

    Raises:
        ChatError: no such model, or one whose files are not on this disk yet.
    """
    from merging.checkpoints.sources import resolve  # here: it imports the Hub's client

    sources = model_rows.names()
    if name not in sources:
        raise ChatError(f"There is no model {name} to talk to. Choose another on the Chat page.")
    if adapters.is_adapter(sources[name]):
        raise ChatError(
            f"{name} is a LoRA adapter, which speaks only on its base: merge it first (passthrough "
            "keeps it as it is), then talk to the merge."
        )
    if Path(sources[name]).is_absolute():
        return sources[name]
    try:
        return str(resolve(sources[name], {}, download=False))
    except Exception as error:
        if not hasattr(error, "exit_code"):
            raise
        raise ChatError(
            f"{name} is not on this machine yet. Merge or benchmark it once: the job downloads it."
        ) from error
