"""The launcher whose processes are on the nodes of a Ray cluster.

The worker notices no difference: each job has a pipe that its events come out of, and an exit code
in the end. A thread for each job carries what the node says into the pipe and into the job's log.
A slot that is lost is the same as a process that was killed: the queue starts the job again, on
whatever slot is free, and gives it up when that has happened too often.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from db import settings
from jobs.cluster.connect import connect
from jobs.cluster.nodes import Nodes, Slot
from jobs.cluster.on_node import request_for
from jobs.running.launch import LOST, Child

DEAF_SECONDS = 3.0  # after SIGKILL, until a slot that reports no end is given up


@dataclass(slots=True)
class RemoteChild(Child):
    """A job's process on a node. Its number means nothing here."""

    slot: Slot | None = None
    writer: int = -1
    killed_at: float | None = None
    lost: bool = False
    closing: threading.Lock = field(default_factory=threading.Lock)

    def send(self, number: signal.Signals) -> None:
        """Have the node send a signal to the process and everything it has started."""
        self.signalled = number
        if self.code is not None or self.slot is None:
            return
        if number == signal.SIGKILL and self.killed_at is None:
            self.killed_at = time.monotonic()
        with contextlib.suppress(Exception):  # a slot that has gone: its stream says so
            self.slot.actor.signal.remote(self.key, int(number))

    def started(self, pid: int) -> None:
        """Nothing: `pid` is a number on another machine."""

    def bury(self) -> None:
        """After the end: the node has cleaned up; close the events."""
        if self.events >= 0:
            os.close(self.events)
            self.events = -1

    def close_writer(self) -> None:
        """No more events."""
        with self.closing:
            if self.writer >= 0:
                os.close(self.writer)
                self.writer = -1


class OnRay:
    """Processes on the nodes of a cluster.

    Args:
        address: `auto` or host:port.

    Raises:
        JobError: the cluster cannot be joined.
    """

    def __init__(self, address: str) -> None:
        self._ray = connect(address)
        self._running: dict[str, RemoteChild] = {}
        self._ended: queue.SimpleQueue[tuple[RemoteChild, int]] = queue.SimpleQueue()
        self._bell, self._bell_rope = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._bell_rope, False)
        self._nodes = Nodes(self._ray, say)

    def places(self) -> Mapping[str, int]:
        """The slots that take jobs now, with the narrow jobs that each takes."""
        return {slot.name: slot.cores for slot in self._nodes.ready()}

    def launch(self, key: str, request: dict[str, Any]) -> RemoteChild:
        """Start a job's process on the slot that the request names."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        slot = self._nodes.get(str(request["device"]))
        child = RemoteChild(key, reader, slot=slot, writer=writer)
        self._running[key] = child
        if slot is None:  # it has gone this very moment
            self._end(child, LOST)
            return child
        log = Path(request["log"])
        sent = request_for(
            request,
            slot.node.name,
            shares_home=slot.shares_home,
            same_machine=slot.host == socket.gethostname(),
            home=settings.home(),
            cores=slot.node.cores // max(1, slot.node.gpus),
        )
        threading.Thread(
            target=self._carry, args=(child, slot, sent, log), name=f"job {key}", daemon=True
        ).start()
        return child

    def poll(self) -> None:
        """Note which processes have ended; give up slots that do not even answer a SIGKILL."""
        if self._bell >= 0:
            with contextlib.suppress(BlockingIOError):
                os.read(self._bell, 4096)
        while True:
            try:
                child, code = self._ended.get_nowait()
            except queue.Empty:
                break
            child.code = code
            self._running.pop(child.key, None)
        now = time.monotonic()
        for child in list(self._running.values()):
            deaf = child.killed_at is not None and now - child.killed_at > DEAF_SECONDS
            if deaf and not child.lost and child.slot is not None:
                child.lost = True
                self._nodes.lose(child.slot)
                child.close_writer()
                child.code = LOST
                self._running.pop(child.key, None)

    def descriptors(self) -> list[int]:
        """A pipe that says that a process has ended."""
        return [self._bell] if self._bell >= 0 else []

    def close(self) -> None:
        """End all slots, and with them whatever runs on the nodes; leave the cluster."""
        self._nodes.close()
        for child in self._running.values():
            child.close_writer()
            child.code = LOST
        self._running.clear()
        with contextlib.suppress(Exception):
            self._ray.shutdown()
        bell, self._bell = self._bell, -1
        rope, self._bell_rope = self._bell_rope, -1
        for descriptor in (bell, rope):
            if descriptor >= 0:
                os.close(descriptor)

    def _carry(self, child: RemoteChild, slot: Slot, request: dict[str, Any], log: Path) -> None:
        """What a node says of one job, into its pipe and its log, until the end."""
        code = LOST
        try:
            stream = slot.actor.run.remote(child.key, request)
            with log.open("ab", buffering=0) as file:
                for one in stream:
                    said = self._ray.get(one)
                    file.write(said["log"])
                    _write(child, said["events"])
                    if said.get("code") is not None:
                        code = int(said["code"])
        except Exception as error:
            if not child.lost and self._bell >= 0:
                with contextlib.suppress(OSError):
                    _note(log, f"the slot {slot.name} was lost ({type(error).__name__})")
                self._nodes.lose(slot)
        self._end(child, code)

    def _end(self, child: RemoteChild, code: int) -> None:
        child.close_writer()
        self._ended.put((child, code))
        with contextlib.suppress(OSError):
            os.write(self._bell_rope, b".")


def say(text: str) -> None:
    """A line for the worker's log."""
    print(f"{time.strftime('%H:%M:%S')} cluster: {text}", file=sys.stderr, flush=True)


def _write(child: RemoteChild, events: bytes) -> None:
    left = memoryview(events)
    while left and child.writer >= 0:
        left = left[os.write(child.writer, left) :]


def _note(log: Path, text: str) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} worker: {text}\n")
