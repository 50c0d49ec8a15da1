"""A warm process that forks the jobs' processes, so that they start in milliseconds.

Importing torch, transformers and lm-eval takes seconds; this process does it once, never starts a
thread or touches a GPU (neither survives a fork), and forks a child for each request. It talks
with the worker over a socket of whole messages: a request is `{"key", ...}` with two descriptors
(where to read the job from, where to write events to); when a child has ended, `{"key", "status"}`
goes back. When the worker is gone the socket ends, and so do the children and this process.

The imports are made in steps with requests served in between, so that a job that needs little
does not wait for what it does not need.
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
from typing import Any

from jobs.child import die_with, run_job

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
    "evaluation.scorer",
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


class Zygote:
    """The loop: import a module, serve what has come in, report who has ended."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.children: dict[int, str] = {}
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
        waiting = list(modules)
        while self.serve(timeout_seconds=0 if waiting else None):
            if waiting:
                warm(waiting.pop(0))
                if not waiting:
                    gc.collect()
                    gc.freeze()  # a child that collects garbage would copy every page

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
        """Fork a child for the next request; False at the end of the socket."""
        message, descriptors, _, _ = socket.recv_fds(self.control, 4096, 2)
        if not message:
            self.kill_children()
            return False
        key = json.loads(message)["key"]
        request, events = descriptors
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self.become_child(request, events, parent)
        self.children[pid] = key
        os.close(request)
        os.close(events)
        return True

    def become_child(self, request: int, events: int, parent: int) -> None:
        """In the forked process: let go of what is the zygote's and run the job."""
        gc.enable()
        signal.set_wakeup_fd(-1)
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
            key = self.children.pop(pid, None)
            if key is not None:
                code = os.waitstatus_to_exitcode(status)
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


def main(descriptor: int, extra: tuple[str, ...] = ()) -> None:
    """Run a zygote on an inherited socket."""
    os.environ.update({k: v for k, v in QUIET_ENVIRONMENT.items() if k not in os.environ})
    control = socket.socket(fileno=descriptor)
    os.set_inheritable(descriptor, False)
    zygote = Zygote(control)
    try:
        zygote.run((*WARM_MODULES, *extra))
    except (BrokenPipeError, ConnectionResetError):
        zygote.kill_children()


if __name__ == "__main__":
    main(int(sys.argv[1]))
