"""The worker's life, as the application sees it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """Whether a worker serves this home, and which."""

    alive: bool
    pid: int | None = None
    started: float | None = None  # UTC seconds since the epoch
    devices: tuple[str, ...] = ()  # one slot each: ("cpu",) or ("cuda:0", "cuda:1")


def start_worker_if_needed() -> WorkerStatus:
    """Start a worker for this home unless one is alive; return at once, without waiting for it.

    The worker that this starts ends with this process, and is started again should it be killed.
    """
    raise NotImplementedError


def stop_worker(timeout_seconds: float = 10.0) -> None:
    """End the worker that this process started, cleanly: what it ran goes back into the queue."""
    raise NotImplementedError


def worker_status() -> WorkerStatus:
    """Whether a worker serves this home."""
    raise NotImplementedError
