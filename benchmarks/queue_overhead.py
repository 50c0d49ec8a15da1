"""What the queue costs and how fast it reacts: `python benchmarks/queue_overhead.py`.

1,000 trivial jobs on four workers of one database, each exactly once, beside the same processes
started without a queue; then, with one warm worker, the start of a sandbox evaluation, cancels in
three situations, and the time from a worker's death until its job goes on. A home of its own;
`--database-url` puts the tables elsewhere, such as on PostgreSQL. RESULTS.md has what came out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--database-url", default="", help="default: SQLite in a home of its own")
parser.add_argument("--jobs", type=int, default=1000)
parser.add_argument("--workers", type=int, default=4)
parser.add_argument("--runs", type=int, default=5, help="of every reaction")
parser.add_argument("--only", choices=["jobs", "reactions"], help="only this half")
parser.add_argument("--bare", type=int, help=argparse.SUPPRESS)  # processes without a queue

HOME = Path(os.environ.get("CRUCIBLE_BENCHMARK_HOME") or tempfile.mkdtemp(prefix="crucible-queue-"))
os.environ["CRUCIBLE_BENCHMARK_HOME"] = os.environ["CRUCIBLE_HOME"] = str(HOME)
os.environ["CRUCIBLE_JOB_KINDS"] = "count=tests.jobs.fake_kinds"

import psutil  # noqa: E402

from db.queries import jobs as job_rows  # noqa: E402
from db.queries.jobs import JobRow  # noqa: E402
from jobs.models import registry  # noqa: E402
from jobs.running import api, lock, supervise  # noqa: E402
from jobs.running.launch import Warm  # noqa: E402


def wait(condition: Callable[[], object], seconds: float = 600.0, every: float = 0.01) -> None:
    """Poll until it is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("given up: it took too long")
        time.sleep(every)


def nothing_open() -> bool:
    """Whether all jobs have ended."""
    counts = job_rows.counts()
    return counts.queued + counts.running == 0


def row(job: int) -> JobRow:
    """A job as it is now."""
    found = job_rows.job(job)
    assert found is not None
    return found


def spread(values: list[float], unit: str = "s") -> str:
    """Median, least and most."""
    middle = statistics.median(values)
    return f"{middle:.2f} {unit} ({min(values):.2f} to {max(values):.2f}, {len(values)} runs)"


def bare(count: int) -> None:
    """Start a trivial job's process that many times, one after the other, without a queue."""
    launcher = Warm()
    request = {"kind": "count", "spec": {"steps": 1, "seconds": 0}, "environment": {},
               "log": str(HOME / f"bare-{os.getpid()}.log")}  # fmt: skip
    for number in range(count + 1):
        if number == 1:  # the zygote is there
            began = time.perf_counter()
        child = launcher.launch(str(number), request)
        os.set_blocking(child.events, True)
        while os.read(child.events, 1 << 16):
            pass
        child.bury()
    print(time.perf_counter() - began)
    launcher.close()


def bare_seconds(jobs: int, workers: int) -> float:
    """Seconds that as many processes take, in as many rows side by side as there are workers."""
    command = [sys.executable, __file__, "--bare", str(jobs // workers)]
    rows = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(workers)]
    return max(float(process.communicate()[0].split()[-1]) for process in rows)


def start_workers(count: int) -> list[psutil.Process]:
    """Workers beside each other, serving."""
    command = [sys.executable, "-m", "jobs.running.worker", "--beside"]
    log = (HOME / "workers.log").open("a")
    found = [psutil.Popen(command, cwd=ROOT, stdout=log, stderr=log) for _ in range(count)]
    log.close()
    wait(lambda: len(lock.workers()) == count)
    return found


def trivial(jobs: int, workers: int) -> None:
    """Trivial jobs through the queue, and the same processes without it."""
    os.environ["CRUCIBLE_WARM"] = "0"
    without = bare_seconds(jobs, workers)
    api.pause_queue()
    marks = Path(tempfile.mkdtemp(dir=HOME))
    numbers = [
        api.submit("count", {"steps": 1, "seconds": 0, "marks": str(marks / str(n))}, title="x")
        for n in range(jobs)
    ]
    serving = start_workers(workers)
    before = [sum(one.cpu_times()[:2]) for one in serving]
    began = time.perf_counter()
    api.resume_queue()
    wait(nothing_open, every=0.1)  # whoever looks more often takes the workers' time
    seconds = time.perf_counter() - began
    cpu = sum(sum(one.cpu_times()[:2]) for one in serving) - sum(before)
    ended = [row(number) for number in numbers]
    once = sum(len(path.read_text().split()) == 1 for path in marks.iterdir())
    good = sum(one.state == "done" and one.attempt == 1 for one in ended)
    shares = sorted(
        sum(one.worker == name for one in ended) for name in {one.worker for one in ended}
    )
    print(f"{jobs} trivial jobs, {workers} workers: {good} done at the first attempt, {once} "
          f"started exactly once; by worker {shares}")  # fmt: skip
    print(f"  through the queue {1000 * seconds / jobs:.1f} ms a job, the processes alone "
          f"{1000 * without / jobs:.1f} ms, overhead {1000 * (seconds - without) / jobs:.1f} ms; "
          f"the workers' own work {1000 * cpu / jobs:.1f} CPU-ms a job")  # fmt: skip
    for process in serving:
        process.terminate()
    for process in serving:
        process.wait(30)
    os.environ["CRUCIBLE_WARM"] = "1"


def evaluation(limit: int, device: str = "auto") -> int:
    """Queue a small evaluation that was not made before."""
    group = api.benchmark(["sandbox/base"], "sandbox", limit=limit, device=device)
    return job_rows.group(group)[0].id


def is_scoring(job: int) -> bool:
    """Whether an evaluation has answered its first items."""
    found = row(job)
    return found.state == "done" or (found.stage.startswith("Scoring") and found.done > 0)


def start_seconds(limit: int) -> float:
    """From the press until the evaluation has loaded its model and begins to score."""
    began = time.perf_counter()
    job = evaluation(limit)
    wait(lambda: row(job).state == "done" or row(job).stage.startswith(("Scoring", "Preparing")))
    seconds = time.perf_counter() - began
    wait(lambda: not row(job).open)
    return seconds


def cancel_seconds(job: int) -> float:
    """From the request until the job is cancelled, its process gone."""
    began = time.perf_counter()
    api.cancel(job)
    wait(lambda: not row(job).open)
    assert row(job).state == "cancelled", row(job)
    return time.perf_counter() - began


def counting(**spec: object) -> int:
    """A long job that counts, in the middle of it."""
    job = api.submit("count", {"steps": 100_000, "seconds": 0.01, **spec}, title="Long")
    wait(lambda: row(job).done > 3)
    return job


def scoring(limit: int) -> int:
    """An evaluation in the middle of its batches."""
    job = evaluation(limit)
    wait(lambda: is_scoring(job))
    return job


def resumption_seconds(job: int) -> float:
    """From the SIGKILL of the worker until the job's next attempt has reported something."""
    killed = lock.status().pid
    assert killed is not None
    began = time.perf_counter()
    psutil.Process(killed).kill()
    wait(lambda: row(job).attempt == 2 and row(job).stage not in ("", "Starting"))
    seconds = time.perf_counter() - began
    api.cancel(job)
    wait(lambda: not row(job).open)
    return seconds


def reactions(runs: int) -> None:
    """One warm worker: starts, cancels, and its own death."""
    registry.ensure_sandbox()
    supervise.start_worker_if_needed()
    first = evaluation(1)
    wait(lambda: not row(first).open)
    print("evaluation, press to its first batch, warm:",
          spread([start_seconds(2 + n) for n in range(runs)]))  # fmt: skip
    print(
        "cancel of a job that listens:", spread([cancel_seconds(counting()) for _ in range(runs)])
    )
    print("cancel of a job that is deaf:",
          spread([cancel_seconds(counting(stubborn=True)) for _ in range(runs)]))  # fmt: skip
    print("cancel in the middle of a batch:",
          spread([cancel_seconds(scoring(50 + n)) for n in range(runs)]))  # fmt: skip
    print("worker killed, a counting job goes on:",
          spread([resumption_seconds(counting()) for _ in range(runs)]))  # fmt: skip
    print("worker killed, an evaluation goes on:",
          spread([resumption_seconds(scoring(60 + n)) for n in range(runs)]))  # fmt: skip
    supervise.stop_worker()


def main() -> None:
    """Measure and print."""
    asked = parser.parse_args()
    if asked.database_url:
        os.environ["CRUCIBLE_DATABASE_URL"] = asked.database_url
    if asked.bare:
        return bare(asked.bare)
    print(json.dumps({"load": os.getloadavg()[0], "cores": os.cpu_count(), "home": str(HOME),
                      "database": (asked.database_url or "sqlite").split(":")[0]}))  # fmt: skip
    if asked.only != "reactions":
        trivial(asked.jobs, asked.workers)
    if asked.only != "jobs":
        reactions(asked.runs)
    print(f"load at the end: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
