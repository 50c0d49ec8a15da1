"""The chat process: `python -m chat.child`. Reads requests on stdin, answers on stdout.

It ends by itself when its parent is gone (end of stdin, and on Linux a signal), and after a while
without requests, which gives the memory of its models back. Messages: `chat.protocol`.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from typing import IO, Any

from pydantic import ValidationError

from chat.errors import ChatError
from chat.protocol import Settings, Turn, encode, request_of


def main() -> None:
    """Serve until the parent goes away or nothing was asked for `--idle-seconds`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--idle-seconds", type=float, default=600.0)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    die_with_parent()
    out = take_stdout()
    inbox = Inbox(sys.stdin.buffer)
    inbox.start()
    from chat.shelf import Shelf  # torch: after the inbox, so that a vanished parent is noticed

    with contextlib.suppress(ImportError):
        import evaluation.scoring.loading  # noqa: F401  the rest of the slow imports

    speaker = Speaker(out, inbox, Shelf(device=arguments.device))
    speaker.say({"event": "ready"})
    while True:
        try:
            request = inbox.requests.get(timeout=arguments.idle_seconds)
        except queue.Empty:
            return
        speaker.answer(request)


def die_with_parent() -> None:
    """Ask Linux for SIGKILL when the thread that started this process ends."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1 = PR_SET_PDEATHSIG


def take_stdout() -> IO[bytes]:
    """Keep the real stdout for the protocol, and send what libraries print to stderr."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return out


class Inbox(threading.Thread):
    """Reads requests while a token is being computed, so that "stop" is heard at once."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self.stream = stream
        self.requests: queue.Queue[dict[str, Any]] = queue.Queue()
        self.stopped: set[int] = set()  # ids of requests that are to end

    def run(self) -> None:
        """Sort lines into requests and stops; at the end of the stream, end the process."""
        self.read()
        os._exit(0)  # the parent is gone: nobody is left to answer

    def read(self) -> None:
        """Sort lines until the stream ends; what is no request is passed over."""
        for line in self.stream:
            message = request_of(line)
            if message is None:
                print("chat: a line is no request", file=sys.stderr)
            elif message["do"] == "stop":
                self.stopped.add(message["id"])
            else:
                self.requests.put(message)


class Speaker:
    """Answers one request after the other."""

    def __init__(self, out: IO[bytes], inbox: Inbox, shelf: Any) -> None:
        self.out, self.inbox, self.shelf = out, inbox, shelf

    def say(self, message: dict[str, Any]) -> None:
        """Send one line; without a reader the process has no purpose and ends."""
        try:
            self.out.write(encode(message))
        except BrokenPipeError:
            os._exit(0)

    def answer(self, request: dict[str, Any]) -> None:
        """Serve one request, whatever goes wrong in it."""
        if request["do"] == "unload":
            self.shelf.clear()
            return
        number = request["id"]
        try:
            turns = [Turn.model_validate(turn) for turn in request["turns"]]
            settings = Settings.model_validate(request["settings"])
        except ValidationError as error:
            problem = error.errors()[0]
            place = ".".join(str(part) for part in problem["loc"])
            self.say({"event": "error", "id": number, "which": None,
                      "text": f"{place}: {problem['msg']}."})  # fmt: skip
        else:
            self._stream(number, turns, settings)
        self.inbox.stopped.discard(number)
        self.say({"event": "end", "id": number})

    def _stream(self, number: int, turns: list[Turn], settings: Settings) -> None:
        """Advance the answers of all turns in step, a token each, until all have ended."""
        running: dict[int, Iterator[dict[str, Any]]] = {
            which: self._events(turn, settings) for which, turn in enumerate(turns)
        }
        while running:
            if number in self.inbox.stopped:
                for which in running:
                    self.say({"event": "done", "id": number, "which": which, "reason": "stopped",
                              "tokens": None, "seconds": None})  # fmt: skip
                return
            for which, events in list(running.items()):
                try:
                    event = next(events, None)
                except Exception as error:  # one model's fault ends its side only
                    event = {"event": "error", "text": sentence(error, turns[which].label)}
                    running.pop(which)
                if event is None:
                    running.pop(which, None)
                else:
                    self.say({**event, "id": number, "which": which})

    def _events(self, turn: Turn, settings: Settings) -> Iterator[dict[str, Any]]:
        """Everything that happens on one side of the conversation."""
        from chat.generation import Answer, context_length
        from chat.prompt import build

        if not self.shelf.holds(turn.folder):
            yield {"event": "loading"}
        model, tokenizer = self.shelf.take(turn.folder, turn.label, turn.trusted_code)
        context = context_length(model)
        prompt = build(
            tokenizer, turn.messages, mode=turn.mode, context_tokens=context, label=turn.label
        )
        yield {
            "event": "started",
            "prompt_tokens": len(prompt.ids),
            "dropped_turns": prompt.dropped_turns,
            "device": str(model.device),
        }
        answer = Answer(model, tokenizer, prompt.ids, settings, context)
        for text in answer:
            yield {"event": "text", "text": text}
        yield {
            "event": "done",
            "reason": answer.reason,
            "tokens": len(answer.ids),
            "seconds": answer.seconds,
        }


def sentence(error: Exception, label: str) -> str:
    """What to tell the user; the traceback of anything unforeseen goes to the process's log."""
    if isinstance(error, ChatError):
        return str(error)
    import traceback

    traceback.print_exception(error, file=sys.stderr)
    if "out of memory" in str(error).lower():
        return f"{label} ran out of memory while answering. Shorten the conversation."
    return f"{label} could not answer: unexpected {type(error).__name__}: {error}"


if __name__ == "__main__":
    main()
