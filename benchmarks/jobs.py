"""How fast jobs start, run and stop: `python benchmarks/jobs.py`. Uses a home of its own.

A warm worker is given: a sandbox merge, the sandbox suite on one model, 50 trivial jobs, and a job
that is cancelled in the middle. Times are of the wall clock; RESULTS.md has what came out.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["CRUCIBLE_HOME"] = tempfile.mkdtemp(prefix="crucible-benchmark-")
os.environ["CRUCIBLE_JOB_KINDS"] = "count=tests.jobs.fake_kinds"

from db.queries import jobs as job_rows  # noqa: E402
from jobs import quickstart  # noqa: E402
from jobs.models import registry  # noqa: E402
from jobs.running import api, supervise  # noqa: E402


def wait(condition: Callable[[], object]) -> None:
    """Poll until it is true."""
    while not condition():
        time.sleep(0.005)


def ended(job: int) -> bool:
    """Whether a job has ended."""
    row = job_rows.job(job)
    return row is not None and not row.open


def timed(start: Callable[[], list[int]]) -> float:
    """Seconds from the call until all of its jobs have ended."""
    began = time.perf_counter()
    jobs = start()
    wait(lambda: all(ended(job) for job in jobs))
    return time.perf_counter() - began


def group_jobs(group: str) -> list[int]:
    """Numbers of a group's jobs."""
    return [row.id for row in job_rows.group(group)]


def merge_once(number: int) -> list[int]:
    """A merge that was not made before."""
    recipe = quickstart.RECIPE.replace("alpha: 1.0", f"alpha: {1 - number / 100}")
    return group_jobs(api.merge_and_benchmark(recipe))


def cancel_seconds() -> float:
    """From the request to the state `cancelled`."""
    job = api.submit("count", {"steps": 10_000, "seconds": 0.01}, title="Long")
    wait(lambda: (row := job_rows.job(job)) is not None and row.done > 3)
    began = time.perf_counter()
    api.cancel(job)
    wait(lambda: ended(job))
    return time.perf_counter() - began


def spread(values: list[float]) -> str:
    """Median, least and most."""
    return f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    """Measure and print."""
    registry.ensure_sandbox()
    supervise.start_worker_if_needed()
    cold = timed(lambda: group_jobs(api.benchmark(["sandbox/base"], "sandbox", limit=1)))
    print(f"first evaluation of a cold worker, 1 item a task: {cold:.1f} s")
    print(
        "merge, press to registered folder:",
        spread([timed(lambda n=n: merge_once(n)) for n in range(1, 8)]),
    )
    suite = [
        timed(lambda name=name: group_jobs(api.benchmark([f"sandbox/{name}"], "sandbox")))
        for name in ("base", "finance", "instruct")
    ]
    print("sandbox suite on one model, press to last score:", spread(suite))
    several = timed(lambda: [api.submit("count", {"steps": 0}, title="x") for _ in range(50)])
    print(f"a trivial job, 50 in a row: {several / 50 * 1000:.0f} ms each")
    print("cancel, request to stopped:", spread([cancel_seconds() for _ in range(7)]))
    supervise.stop_worker()


if __name__ == "__main__":
    main()
