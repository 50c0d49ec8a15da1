"""An application without pages: it has a worker as the real one has, and waits to be ended."""

from __future__ import annotations

import signal
import threading

from jobs.running import supervise


def main() -> None:
    """Start a worker unless one lives, and stop it at the end."""
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    supervise.start_worker_if_needed()
    while not done.wait(0.1):
        pass
    supervise.stop_worker()


if __name__ == "__main__":
    main()
