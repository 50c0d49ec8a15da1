"""The process that runs one job: the same code whether it was forked or started afresh.

Events leave as JSON lines on a file descriptor of their own; whatever libraries print goes to the
job's log. SIGTERM is raised as an exception in the generator, so that its clean-up runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from evaluation.errors import is_out_of_memory
from jobs.kinds import Event, find

PR_SET_PDEATHSIG = 1
EXIT_TERMINATED = 143


class Terminated(BaseException):
    """SIGTERM: leave now, cleaning up on the way."""


def run_job(request: dict[str, Any], events: int, parent: int) -> NoReturn:
    """Run a job in this process and end the process.

    Args:
        request: `kind`, `spec`, `log` (path), `environment` (variables to set) and `title`.
        events: descriptor that the events are written to.
        parent: process whose death ends this one.
    """
    code = 1
    try:
        isolate(parent)
        redirect_output(Path(request["log"]))
        os.environ.update(request.get("environment", {}))
        emit(events, {"kind": "started", "pid": os.getpid()})
        code = report(events, begin(request))
    except Terminated:
        code = EXIT_TERMINATED
    except BrokenPipeError:
        code = 1  # nobody listens any more: the worker is gone
    except BaseException as error:
        code = emit_error(events, "", error)
    finally:
        flush_output()
        os._exit(code)  # no atexit handlers: they belong to the process this was forked from


def begin(request: dict[str, Any]) -> Iterator[Event]:
    """The job's generator; on another node than the worker's it looks around there first."""
    run = find(request["kind"])
    if request.get("node") is None:
        return run(request["spec"])
    from jobs.cluster.on_node import checked

    return checked(run, request["kind"], request["spec"], request["node"])


def report(events: int, generator: Iterator[Event]) -> int:
    """Write a generator's events until it ends; return the exit code."""
    stage = ""
    try:
        for event in generator:
            stage = str(event.get("stage", stage))
            if event.get("kind") in ("warning", "log", "task_error"):
                print(f"{event['kind']}: {event.get('task', '')} {event['text']}")
            emit(events, event)
    except (Terminated, BrokenPipeError):
        raise
    except BaseException as error:
        return emit_error(events, stage, error)
    emit(events, {"kind": "end"})
    return 0


def emit(events: int, event: Event) -> None:
    """Write one event as a JSON line, whole."""
    line = memoryview(json.dumps(event, ensure_ascii=False, default=str).encode() + b"\n")
    while line:
        line = line[os.write(events, line) :]


def emit_error(events: int, stage: str, error: BaseException) -> int:
    """Tell a failure as one sentence, with the traceback of an unexpected one in the log."""
    text = sentence(stage, error)
    if hasattr(error, "exit_code"):
        print(text, file=sys.stderr)
    else:
        traceback.print_exception(error)
    code = int(getattr(error, "exit_code", 1))
    starved = is_out_of_memory(error)
    emit(events, {"kind": "error", "text": text, "exit_code": code, "out_of_memory": starved})
    return code


def sentence(stage: str, error: BaseException) -> str:
    """An exception in words; those of the project are sentences already."""
    if hasattr(error, "exit_code"):
        return str(error)
    where = f"{stage}: " if stage else ""
    name = type(error).__name__
    if name == "OutOfMemoryError":
        return (
            f"{where}the GPU is out of memory. Close what else uses it (a chat, another program), "
            "or choose the CPU."
        )
    if is_out_of_memory(error):
        return f"{where}the machine is out of memory. Close other programs and try again."
    first_line = (str(error).strip().splitlines() or ["no message"])[0][:300]
    return f"{where}unexpected {name}: {first_line}. The log has the details."


def isolate(parent: int) -> None:
    """Lead a process group of one's own, and die when the parent dies."""
    if os.getpid() != os.getsid(0):
        os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, _terminate)
    die_with(parent)


def die_with(parent: int, number: int = signal.SIGKILL) -> None:
    """Have the kernel send a signal when the parent process ends; a no-op but on Linux."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(1)


class _Log(io.TextIOWrapper):
    """A stream to a log: on a full disk it loses what is said, and costs nobody the job."""

    def __init__(self, descriptor: int) -> None:
        raw = os.fdopen(descriptor, "wb", closefd=False)
        super().__init__(raw, encoding="utf-8", errors="replace", line_buffering=True)

    def write(self, text: str) -> int:
        """Write, if there is room."""
        with contextlib.suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is kept, if there is room."""
        with contextlib.suppress(OSError):
            super().flush()


def redirect_output(log: Path) -> None:
    """Send standard output and error to the log, and read standard input from nowhere."""
    sys.stdout.flush()
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_RDWR)
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:  # a full disk: what would be said is lost, the job is not
        descriptor = os.dup(nowhere)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.dup2(nowhere, 0)
    os.close(descriptor)
    os.close(nowhere)
    sys.stdout, sys.stderr = _Log(1), _Log(2)
    print(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} process {os.getpid()}")


def flush_output() -> None:
    """Write out what Python still holds; errors no longer matter."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def _terminate(_number: int, _frame: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: let the clean-up finish
    raise Terminated


if __name__ == "__main__":
    with os.fdopen(int(sys.argv[1])) as file:
        given = json.load(file)
    run_job(given, int(sys.argv[2]), os.getppid())
