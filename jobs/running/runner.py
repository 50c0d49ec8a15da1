"""The loop that claims jobs, runs each in a child process and records what it reports.

The worker and the terminal use the same loop; they differ in which jobs they take. One thread:
everything that happens is noticed in `step`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from db import settings
from db.errors import DatabaseError
from jobs.kinds import Event
from jobs.models import registry
from jobs.running import identity, memory, prepare, queue, tidy
from jobs.running.child import sentence
from jobs.running.launch import Child, Launcher
from jobs.running.queue import Claim, Fenced
from jobs.running.reaper import Reaper
from jobs.running.record import Recorder

TICK_SECONDS = 0.2  # how often the database is asked for new jobs and for cancels
GRACE_SECONDS = 0.5  # between SIGTERM and SIGKILL
REAP_SECONDS = 2.0


@dataclass(slots=True)
class Run:
    """One attempt at a job, with its process."""

    claim: Claim
    device: str
    child: Child
    recorder: Recorder
    memory_kills: int | None  # the kernel's, before it began
    unread: bytes = b""
    events: deque[Event] = field(default_factory=deque)
    end_of_events: bool = False
    stopping: str | None = None  # "cancel", "release", "error" or "fenced"
    kill_at: float | None = None

    def stop(self, why: str) -> None:
        """Ask the process to end; it is killed when it takes too long."""
        if self.stopping is None or why == "fenced":
            self.stopping = why
        if self.kill_at is None:
            self.kill_at = time.monotonic() + GRACE_SECONDS
            self.child.send(signal.SIGTERM)


class Runner:
    """Claims and runs jobs on a number of slots.

    Args:
        devices: one slot for each entry: "cpu", "cuda:0" ...
        launcher: starts the processes.
        group: take only this group's jobs.
        threads: CPU threads that a job may use.
    """

    def __init__(
        self,
        devices: Sequence[str],
        launcher: Launcher,
        *,
        group: str | None = None,
        threads: int | None = None,
    ) -> None:
        self.devices = list(devices)
        self.launcher = launcher
        self.group = group
        self.threads = threads
        self.worker = identity.worker_id()
        self.runs: list[Run] = []
        self.reaper = Reaper()
        self.trouble: str | None = None  # why the database cannot be written at the moment
        self._found_one = False  # whether the last claim got a job
        self._next_tick = 0.0
        self._next_reap = 0.0

    def step(self, timeout_seconds: float = TICK_SECONDS, *, claim: bool = True) -> None:
        """Wait for something to happen, at most this long, and deal with all that has."""
        self._wait(timeout_seconds)
        self.launcher.poll()
        now = time.monotonic()
        try:
            for run in list(self.runs):
                self._advance(run)
            if now >= self._next_tick:
                self._next_tick = now + TICK_SECONDS
                self._tick(claim)
            self.trouble = None
        except DatabaseError as error:
            # Nothing is lost: what could not be written is still in `events`, and is tried again.
            self.trouble = str(error)
            time.sleep(TICK_SECONDS)

    def close(self, timeout_seconds: float = 5.0) -> None:
        """End every process and the launcher; jobs go back into the queue, unless cancelled."""
        for run in self.runs:
            run.stop("release")
        deadline = time.monotonic() + timeout_seconds
        while self.runs and time.monotonic() < deadline:
            self.step(0.05, claim=False)
        self.launcher.close()  # what has not listened ends here
        self.step(0.0, claim=False)
        # Nothing runs any more: neither what could not be written just now, nor a job that was
        # claimed in the very moment in which a signal came.
        queue.disown(self.worker)

    def _tick(self, claim: bool) -> None:
        numbers = [run.claim.job_id for run in self.runs]
        wanted = queue.asked_to_stop(numbers, whole_queue=self.group is None)
        for run in self.runs:
            if run.claim.job_id in wanted:
                run.stop(wanted[run.claim.job_id])
            try:
                run.recorder.beat()
            except Fenced:
                run.stop("fenced")
        if time.monotonic() >= self._next_reap:
            self._next_reap = time.monotonic() + REAP_SECONDS
            self.reaper.reap()
        while claim and self._claim_one():
            pass

    def _claim_one(self) -> bool:
        device, narrow = self._place()
        if device is None:
            return False
        # where there was a job just now there is most likely another
        claimed = queue.claim(
            self.worker, device, group=self.group, narrow=narrow, look=not self._found_one
        )
        self._found_one = claimed is not None
        if claimed is None:
            return False
        try:
            spec = prepare.complete(claimed)
        except DatabaseError:
            queue.release(claimed)
            raise
        except Exception as error:
            queue.finish(claimed, "failed", error=sentence("Preparing", error))
            return True
        try:
            self._start(claimed, device, spec)
        except OSError as error:  # no process or descriptor is to be had: the job waits
            queue.release(claimed)
            raise DatabaseError(
                f"“{claimed.title}” cannot be started now ({error}); it is tried again.",
                transient=True,
            ) from error
        return True

    def _place(self) -> tuple[str | None, bool]:
        """A free slot; else one with room beside its jobs, and that a job must be narrow for it.

        There is room where jobs run that take a core each, and a core that none of them takes.
        """
        cores = self.launcher.places()
        slots = self.devices if cores is None else list(cores)
        if cores is None:
            cores = {"cpu": os.cpu_count() or 1}
        free = list(slots)
        for run in self.runs:
            if run.device in free:
                free.remove(run.device)
        if free:
            return free[0], False
        for device in dict.fromkeys(slots):
            there = [run for run in self.runs if run.device == device]
            if len(there) < cores.get(device, 1) and all(
                run.claim.spec.get("narrow") for run in there
            ):
                return device, True
        return None, False

    def _start(self, claimed: Claim, device: str, spec: dict[str, Any]) -> None:
        request = {
            "kind": claimed.kind,
            "spec": spec,
            "log": str(settings.log_path(claimed.job_id)),
            "environment": prepare.environment(device, self.threads),
            "device": device,
        }
        recorder = Recorder(Claim(**{**_fields(claimed), "spec": spec}))
        memory_kills = memory.kills()
        child = self.launcher.launch(f"{claimed.job_id}.{claimed.attempt}", request)
        self.runs.append(Run(claimed, device, child, recorder, memory_kills))

    def _wait(self, timeout_seconds: float) -> None:
        watched = [run.child.events for run in self.runs if not run.end_of_events]
        select.select([*watched, *self.launcher.descriptors()], [], [], timeout_seconds)

    def _advance(self, run: Run) -> None:
        ended = run.child.code is not None  # before reading: what was written is then all there
        self._read(run)
        try:
            self._record(run)
            # All is said and the pipe is closed: no need to wait until the end is reported.
            ended = ended or (run.end_of_events and run.recorder.ended)
            run.recorder.flush()
            if run.kill_at is not None and time.monotonic() >= run.kill_at:
                run.child.send(signal.SIGKILL)
            if ended:
                self._conclude(run)
        except Fenced:
            if not ended:
                run.stop("fenced")
        if ended:
            run.child.bury()
            if (run.child.code or 0) < 0 and self.launcher.places() is None:
                tidy.after(run.recorder.claim.spec)
            self.runs.remove(run)
            self._next_tick = 0.0  # the slot is free: look for its next job at once

    def _read(self, run: Run) -> None:
        while not run.end_of_events:
            try:
                piece = os.read(run.child.events, 1 << 16)
            except BlockingIOError:
                return
            if not piece:
                run.end_of_events = True
            *lines, run.unread = (run.unread + piece).split(b"\n")
            run.events.extend(event for line in lines if (event := _parse(line)) is not None)

    def _record(self, run: Run) -> None:
        while run.events and run.stopping != "fenced":
            event = run.events[0]
            if event.get("kind") == "started":
                run.child.started(int(event["pid"]))
            try:
                run.recorder.handle(event)
            except Fenced:
                raise
            except Exception as error:
                if isinstance(error, DatabaseError) and error.transient:
                    raise  # the event stays and is tried again
                run.recorder.error = sentence("Recording what the job reported", error)
                run.stop("error")
            run.events.popleft()

    def _conclude(self, run: Run) -> None:
        """The process has ended and its events are recorded: decide what becomes of the job."""
        code, recorder = run.child.code or 0, run.recorder
        if run.stopping == "fenced":
            return
        if recorder.ended and recorder.error is None:
            queue.finish(
                run.claim, "done", result=recorder.outcome(), progress=recorder.unwritten()
            )
            return
        recorder.flush(force=True)
        if run.stopping == "error":
            queue.finish(run.claim, "failed", error=recorder.error)
        elif run.stopping == "cancel":
            queue.finish(run.claim, "cancelled")
        elif run.stopping == "release":
            queue.release(run.claim)
        elif self._starved(run, code):
            self._note(run, "stopped for lack of memory")
            memory.again(run.claim)
        elif recorder.error is not None:
            why = {**recorder.outcome(), "exit_code": recorder.exit_code}
            registry.forget_unseen(prepare.models_of(run.claim.spec))
            queue.finish(run.claim, "failed", error=recorder.error, result=why)
        elif code < 0:
            self._note(run, died_of(code))
            queue.died(run.claim, died_of(code))
        else:
            queue.finish(run.claim, "failed", error=f"The process ended with code {code} without "
                         "saying why. The log may tell more.")  # fmt: skip

    def _starved(self, run: Run, code: int) -> bool:
        """Whether memory ran out for a job that can do with less."""
        killed = code == -signal.SIGKILL and memory.killed_since(run.memory_kills)
        return run.claim.kind in memory.HALVED and (run.recorder.out_of_memory or killed)

    def _note(self, run: Run, text: str) -> None:
        path = settings.log_path(run.claim.job_id)
        with contextlib.suppress(OSError), path.open("a", encoding="utf-8") as file:
            file.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} worker: the process was {text}\n")


def _parse(line: bytes) -> Event | None:
    """An event; None for what a library wrote to our descriptor by mistake."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def died_of(code: int) -> str:
    """A signal death in words."""
    name = signal.Signals(-code).name
    hint = " (often out of memory)" if name == "SIGKILL" else ""
    return f"killed by {name}{hint}"


def _fields(claimed: Claim) -> dict[str, Any]:
    return {name: getattr(claimed, name) for name in Claim.__slots__}
