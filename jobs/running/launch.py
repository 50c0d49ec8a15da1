"""Starting a job's process, and ending it: one interface, two ways.

`Warm` asks a zygote for a forked child; `Plain` starts a fresh interpreter, on
systems where forking a warm process is unsafe. Both give a `Child`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from db import settings

PROJECT = Path(__file__).resolve().parents[2]
# A kind starts when the zygote has imported this; others start at once.
READY_AFTER = {
    "merge": "jobs.kinds.merge", "evaluate": "jobs.kinds.evaluate", "study": "jobs.kinds.evaluate",
}  # fmt: skip
LOST = -int(signal.SIGKILL)  # exit code of a child whose zygote was killed: it died with it


@dataclass(slots=True)
class Child:
    """A job's process. Its number is known from its first event on."""

    key: str
    events: int  # descriptor that the events are read from
    pid: int | None = None
    code: int | None = None  # exit code, negative for a signal; None while it runs
    signalled: signal.Signals | None = None  # sent as soon as the number is known
    withdraw: Callable[[str], None] | None = None  # for one that may not have been started yet

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process and everything it has started."""
        self.signalled = number
        if self.pid is None and self.code is None and self.withdraw is not None:
            self.withdraw(self.key)
        if self.pid is None or self.code is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def started(self, pid: int) -> None:
        """Note the number; deliver a signal that was sent before it was known."""
        self.pid = pid
        if self.signalled is not None:
            self.send(self.signalled)

    def bury(self) -> None:
        """After the end: kill what the process left behind in its group, close the events."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        if self.events >= 0:
            os.close(self.events)
            self.events = -1


class Launcher(Protocol):
    """Starts job processes."""

    def launch(self, key: str, request: dict[str, Any]) -> Child:
        """Start a job's process."""

    def poll(self) -> None:
        """Note which processes have ended, in their `code`."""

    def descriptors(self) -> list[int]:
        """Descriptors that become readable when `poll` has something to note."""

    def places(self) -> Mapping[str, int] | None:
        """Slots that come and go, with the narrow jobs that each takes; None: the machine's own."""

    def close(self) -> None:
        """End everything that this launcher keeps running."""


class Plain:
    """A fresh interpreter for each job."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[Child, subprocess.Popen[bytes]]] = {}

    def launch(self, key: str, request: dict[str, Any]) -> Child:
        """Start `python -m jobs.running.child`."""
        reader, writer = os.pipe()
        body = _as_file(request)
        process = subprocess.Popen(
            [sys.executable, "-m", "jobs.running.child", str(body), str(writer)],
            cwd=PROJECT,
            env={**os.environ, **settings.absolute()},
            pass_fds=(body, writer),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
        )
        os.close(writer)
        os.close(body)
        os.set_blocking(reader, False)
        child = Child(key, reader, pid=process.pid)
        self._running[key] = (child, process)
        return child

    def poll(self) -> None:
        """Ask each process."""
        for key, (child, process) in list(self._running.items()):
            child.code = process.poll()
            if child.code is not None:
                del self._running[key]

    def descriptors(self) -> list[int]:
        """None: the end of a process is noticed at the next tick."""
        return []

    def places(self) -> None:
        """The machine's own."""

    def close(self) -> None:
        """Kill what still runs."""
        for child, process in self._running.values():
            child.send(signal.SIGKILL)
            child.code = process.wait()
        self._running.clear()


class Warm:
    """Children forked from a zygote, which is started again when it dies."""

    def __init__(self, *, log: Path | None = None) -> None:
        self._log = log
        self._running: dict[str, Child] = {}
        self._zygote: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._start()

    def launch(self, key: str, request: dict[str, Any]) -> Child:
        """Ask the zygote for a child. It may still be busy importing: the child comes then."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        body = _as_file(request)
        try:
            for last_try in (False, True):
                if self._control is None:
                    self._start()
                assert self._control is not None
                try:
                    asked = {"key": key, "after": READY_AFTER.get(request["kind"])}
                    socket.send_fds(self._control, [json.dumps(asked).encode()], [body, writer])
                    break
                except OSError:
                    self._lose()
                    if last_try:
                        raise
        finally:
            os.close(body)
            os.close(writer)
        child = Child(key, reader, withdraw=self._withdraw)
        self._running[key] = child
        return child

    def _withdraw(self, key: str) -> None:
        if self._control is not None:
            with contextlib.suppress(OSError):
                self._control.send(json.dumps({"withdraw": key}).encode())

    def poll(self) -> None:
        """Read who has ended; when the zygote itself has, all of its children have."""
        while self._control is not None:
            try:
                message = self._control.recv(4096)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:
                self._lose()
                return
            ended = json.loads(message)
            child = self._running.pop(ended["key"], None)
            if child is not None:
                child.code = ended["code"]

    def descriptors(self) -> list[int]:
        """The zygote's socket."""
        return [self._control.fileno()] if self._control is not None else []

    def places(self) -> None:
        """The machine's own."""

    def close(self) -> None:
        """End the zygote, and with it whatever it has forked."""
        zygote = self._zygote
        if self._control is not None:
            self._control.close()
            self._control = None
        if zygote is not None:
            try:
                zygote.wait(timeout=2)
            except subprocess.TimeoutExpired:  # in the middle of an import
                zygote.kill()
                zygote.wait()
        self._bury_all()

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        output = self._log.open("ab") if self._log else None
        try:
            self._zygote = subprocess.Popen(
                [sys.executable, "-m", "jobs.running.zygote", str(theirs.fileno())],
                cwd=PROJECT,
                env={**os.environ, **settings.absolute()},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl+C in a terminal is the worker's alone
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        finally:
            theirs.close()
            if output is not None:
                output.close()
        self._control = ours

    def _lose(self) -> None:
        """The zygote has died: the kernel has killed its children, which is made sure of."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._zygote is not None:
            self._zygote.kill()
            self._zygote.wait()
        self._bury_all()

    def _bury_all(self) -> None:
        for child in self._running.values():
            child.withdraw = None
            child.send(signal.SIGKILL)
            child.code = LOST
        self._running.clear()


def best_launcher(log: Path | None = None) -> Launcher:
    """The cluster's where one is set, else this machine's.

    Raises:
        JobError: the cluster cannot be joined.
    """
    if settings.ray_address():
        from jobs.cluster.launcher import OnRay

        return OnRay(settings.ray_address())
    return local_launcher(log)


def local_launcher(log: Path | None = None) -> Launcher:
    """The warm one on Linux; elsewhere forking a process that has loaded torch is unsafe."""
    if sys.platform == "linux" and os.environ.get("CRUCIBLE_LAUNCHER") != "plain":
        return Warm(log=log)
    return Plain()


def _as_file(request: dict[str, Any]) -> int:
    """Descriptor of an unnamed file that holds the request; it has no limit of size."""
    if hasattr(os, "memfd_create"):  # in memory, so that it needs no room on a disk
        descriptor = os.memfd_create("job")
        with os.fdopen(descriptor, "wb", closefd=False) as memory:
            memory.write(json.dumps(request).encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor
    with tempfile.TemporaryFile() as file:
        file.write(json.dumps(request).encode())
        file.flush()
        file.seek(0)
        return os.dup(file.fileno())
