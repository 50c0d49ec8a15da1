"""A warm process that forks the jobs' processes, so that they start in milliseconds.

Importing torch, transformers and lm-eval takes seconds; this process does it once, never starts a
thread or touches a GPU (neither survives a fork), and forks a child for each request. It talks
with the worker over a socket of whole messages: a request is `{"key", "after"}` with two
descriptors (where to read the job from, where to write events to), and `{"withdraw": key}` takes
it back; when a child has ended, `{"key", "code"}` goes back. When the worker is gone the socket
ends, and so do the children and this process.

The imports are made in steps. A request is served as soon as the module it names as `after` is
there, so that a merge does not wait for what only an evaluation needs.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import warnings
from dataclasses import dataclass
from typing import Any

from jobs.running.child import die_with, run_job

WARM_MODULES = (
    "numpy",
    "torch",
    "safetensors.torch",
    "merging.engine",
    "jobs.kinds.merge",
    "transformers.modeling_utils",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
    "evaluation.run",
    "evaluation.scoring.scorer",
    "lm_eval.tasks",
    "jobs.kinds.evaluate",
)
# Thread pools do not survive a fork; these keep libraries from starting theirs at import.
QUIET_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}


@dataclass(slots=True)
class Request:
    """A child that is asked for."""

    key: str
    after: str | None  # module that must have been imported
    body: int  # descriptor that the job is read from
    events: int

    def close(self) -> None:
        """Let go of the descriptors."""
        os.close(self.body)
        os.close(self.events)


class Zygote:
    """The loop: import a module, serve what has come in, report who has ended."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.children: dict[int, str] = {}
        self.requests: list[Request] = []
        self.waiting: list[str] = []  # modules that are still to be imported
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        self.wakeup, self.wakeup_writer = reader, writer
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self.leave)
        die_with(os.getppid(), signal.SIGTERM)  # notices the worker's death also in an import

    def run(self, modules: tuple[str, ...]) -> None:
        """Serve until the worker goes away."""
        self.waiting = list(modules)
        while self.serve(timeout_seconds=0 if self.waiting else None):
            if self.waiting:
                warm(self.waiting.pop(0))
                if not self.waiting:
                    gc.collect()
                    gc.freeze()  # a child that collects garbage would copy every page
                self.fork_ready()

    def serve(self, timeout_seconds: float | None) -> bool:
        """Handle everything that waits; False when the worker has gone."""
        watched = [self.control.fileno(), self.wakeup]
        while True:
            ready, _, _ = select.select(watched, [], [], timeout_seconds)
            if not ready:
                return True
            if self.wakeup in ready:
                self.report_ended()
            if watched[0] in ready and not self.accept():
                return False
            timeout_seconds = 0

    def accept(self) -> bool:
        """Read the next message; False at the end of the socket."""
        message, descriptors, _, _ = socket.recv_fds(self.control, 4096, 2)
        if not message:
            self.kill_children()
            return False
        asked = json.loads(message)
        if "withdraw" in asked:
            self.withdraw(asked["withdraw"])
        else:
            self.requests.append(Request(asked["key"], asked["after"], *descriptors))
            self.fork_ready()
        return True

    def withdraw(self, key: str) -> None:
        """Forget a request that has not been served yet."""
        for request in [one for one in self.requests if one.key == key]:
            self.requests.remove(request)
            request.close()
            self.report(key, -int(signal.SIGTERM))

    def fork_ready(self) -> None:
        """Fork a child for each request whose imports have been made."""
        ready = [one for one in self.requests if one.after not in self.waiting]
        for request in ready:
            self.requests.remove(request)
            parent = os.getpid()
            pid = os.fork()
            if pid == 0:
                self.become_child(request.body, request.events, parent)
            self.children[pid] = request.key
            request.close()

    def become_child(self, request: int, events: int, parent: int) -> None:
        """In the forked process: let go of what is the zygote's and run the job."""
        gc.enable()
        signal.set_wakeup_fd(-1)
        for other in self.requests:
            other.close()
        for descriptor in (self.wakeup, self.wakeup_writer, self.control.fileno()):
            os.close(descriptor)
        with os.fdopen(request) as file:
            job = json.load(file)
        run_job(job, events, parent)

    def report_ended(self) -> None:
        """Collect ended children and tell the worker how each one ended."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.wakeup, 4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            # What it has started ends with it, and not later by the worker, who may be killed now.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            key = self.children.pop(pid, None)
            if key is not None:
                self.report(key, os.waitstatus_to_exitcode(status))

    def report(self, key: str, code: int) -> None:
        """Tell the worker how a child ended."""
        self.control.send(json.dumps({"key": key, "code": code}).encode())

    def leave(self, _number: int, _frame: Any) -> None:
        """End at once, with the children."""
        self.kill_children()
        os._exit(0)

    def kill_children(self) -> None:
        """Kill every child with its whole group: the worker has died."""
        for pid in self.children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


def warm(module: str) -> None:
    """Import a module that jobs will need; one that fails will fail in the job, with words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            imported = importlib.import_module(module)
        if module == "torch":
            imported.set_num_threads(1)  # no thread pool before the fork
    except Exception as error:
        print(f"zygote: {module} is not imported ahead ({error})", file=sys.stderr)


def main(descriptor: int) -> None:
    """Run a zygote on an inherited socket."""
    os.environ.update({k: v for k, v in QUIET_ENVIRONMENT.items() if k not in os.environ})
    control = socket.socket(fileno=descriptor)
    os.set_inheritable(descriptor, False)
    zygote = Zygote(control)
    try:
        zygote.run(() if os.environ.get("CRUCIBLE_WARM") == "0" else WARM_MODULES)
    except (BrokenPipeError, ConnectionResetError):
        zygote.kill_children()


if __name__ == "__main__":
    main(int(sys.argv[1]))
