"""One slot of a node: an actor that runs jobs as processes of its own and tells what they say.

A job is the same process that the worker starts on its own machine: forked from a warm zygote,
leader of its group, dying with its parent. When the node, the actor or the worker's connection
goes, Ray ends the actor, and the kernel ends the processes.

The class travels to the node as it stands, so that a node that lacks the project can say so:
nothing of the project may be imported at the top of this file.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

SOON_SECONDS = 0.002  # until a process that has just been started is looked at
LATER_SECONDS = 0.05  # until one that is silent is looked at again
MOST_BYTES = 1 << 20  # of events, and of log, that are handed over at a time
PARTS = ("merging", "evaluation", "studies", "search", "training", "jobs", "db")


def code_hash(project: Path) -> str:
    """16 hex digits over the sources that a job runs."""
    found = hashlib.sha256()
    for part in PARTS:
        for path in sorted((project / part).rglob("*.py")):
            found.update(str(path.relative_to(project)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


class Seat:
    """A slot.

    Args:
        given: `node` (its name), `project` and `home` (folders as the worker sees them), `token`
            (what a file in the home says), `code` (`code_hash` there), `environment` (variables).
    """

    def __init__(self, given: dict[str, Any]) -> None:
        self._node = str(given["node"])
        self._children: dict[str, Any] = {}
        self._launcher: Any = None
        self._shares_home = _says(Path(given["home"]) / "cluster-token", given["token"])
        self._problem = self._look(Path(given["project"]), given["code"])
        if self._problem is None:
            self._settle(Path(given["project"]), Path(given["home"]), given["environment"])

    async def facts(self) -> dict[str, Any]:
        """What the worker wants to know: `problem` (a sentence or None), `shares_home`, `host`."""
        return {"problem": self._problem, "shares_home": self._shares_home,
                "host": socket.gethostname(), "pid": os.getpid()}  # fmt: skip

    async def run(self, key: str, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Run a job and hand over what it says.

        Yields:
            `events` and `log` (bytes as they were written), and last `code` (of the process).
        """
        from jobs.running import memory

        descriptor, path = tempfile.mkstemp(prefix="crucible-log-")
        with os.fdopen(descriptor, "rb") as log:
            kills = memory.kills()
            child = self._launcher.launch(key, {**request, "log": path})
            self._children[key] = child
            pause = SOON_SECONDS
            try:
                while True:
                    self._launcher.poll()
                    code = child.code  # before reading: what was written is then all there
                    events, said = _read(child.events), log.read(MOST_BYTES)
                    if b'"started"' in events:
                        _note_number(child, events)
                    if events or said:
                        yield {"events": events, "log": said}
                        pause = SOON_SECONDS
                    elif code is not None:
                        break
                    else:
                        pause = min(LATER_SECONDS, pause * 1.5)
                    await asyncio.sleep(pause)
                if code == -9 and memory.killed_since(kills):
                    yield {"events": _starved(self._node), "log": b""}
                yield {"events": b"", "log": b"", "code": code}
            finally:
                del self._children[key]
                child.bury()
                with contextlib.suppress(OSError):
                    os.unlink(path)

    async def signal(self, key: str, number: int) -> None:
        """Send a signal to a job's process and everything it has started."""
        import signal

        child = self._children.get(key)
        if child is not None:
            child.send(signal.Signals(number))

    def _look(self, project: Path, code: str) -> str | None:
        """What is in the way of running jobs here, as a sentence."""
        if not (project / "jobs" / "cluster" / "seat.py").is_file():
            return (
                f"The node {self._node} does not see {project}. Crucible's folder must be there "
                "under the same path on every node."
            )
        if code_hash(project) != code:
            return (
                f"The node {self._node} has another version of Crucible in {project} than the "
                "worker. Bring both to the same version and start the worker again."
            )
        return None

    def _settle(self, project: Path, home: Path, environment: dict[str, str]) -> None:
        """Be a place where jobs run: the worker's settings, and a zygote."""
        sys.path.insert(0, str(project))
        os.environ.update(environment)
        os.environ.pop("CRUCIBLE_RAY_ADDRESS", None)  # a job's process is at its place already
        os.environ.pop("CRUCIBLE_DATABASE_URL", None)  # nor does it need the database
        if not self._shares_home:
            home = Path(tempfile.gettempdir()) / f"crucible-node-{os.getuid()}"
            home.mkdir(mode=0o700, exist_ok=True)
        os.environ["CRUCIBLE_HOME"] = str(home)
        from jobs import caches
        from jobs.running.launch import local_launcher

        caches.use_home()
        self._launcher = local_launcher()


def _says(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="ascii") == text
    except (OSError, ValueError):
        return False


def _read(descriptor: int) -> bytes:
    """What a process has written so far."""
    pieces: list[bytes] = []
    while sum(map(len, pieces)) < MOST_BYTES:
        try:
            piece = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            break
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces)


def _note_number(child: Any, events: bytes) -> None:
    """A process says its number first; a signal that was sent before is delivered then."""
    import json

    with contextlib.suppress(ValueError):
        first = json.loads(events.split(b"\n", 1)[0])
        if isinstance(first, dict) and first.get("kind") == "started":
            child.started(int(first["pid"]))


def _starved(node: str) -> bytes:
    """The event of a process that the kernel has killed for memory."""
    import json

    text = f"The node {node} has run out of memory."
    event = {"kind": "error", "text": text, "exit_code": 1, "out_of_memory": True}
    return json.dumps(event).encode() + b"\n"
