"""A study on one node and on two: `python benchmarks/ray_two_nodes.py [rounds] [items a task]`.

Real Ray clusters on this machine, whose nodes have a core each, in turns; each run has a home of
its own. The study has 40 points of the sandbox family. Wall times are from the press of Start to
the last job's end, with the nodes ready; CPU seconds are those of all processes of the run's jobs.
The overhead of a job is that of jobs that do next to nothing, one after the other and side by side,
beside the same on this machine without Ray.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["CRUCIBLE_JOB_KINDS"] = "count=tests.jobs.fake_kinds"
os.environ["OMP_NUM_THREADS"] = "1"

import psutil  # noqa: E402

from db.engine import close_databases  # noqa: E402
from db.queries import jobs as job_rows  # noqa: E402
from db.queries import studies as study_rows  # noqa: E402
from jobs.models import registry  # noqa: E402
from jobs.running import api  # noqa: E402
from jobs.studies import submit  # noqa: E402
from studies.design import Design  # noqa: E402

STUDY = {
    "name": "forty", "base": "sandbox/base", "stages": [1, 3], "suite": "sandbox",
    "experts": {one: f"sandbox/{one}" for one in ("finance", "math", "japanese")},
    "methods": [
        {"method": "task_arithmetic", "grid": {"scale": [0.4, 0.7, 1.0, 1.3]}},
        {"method": "ties", "grid": {"density": [0.1, 0.2, 0.3, 0.5, 0.7, 0.9]}},
    ],
}  # fmt: skip
JOBS = 40  # that do next to nothing


def wait(condition: Callable[[], object]) -> None:
    """Poll until it is true."""
    while not condition():
        time.sleep(0.02)


@contextmanager
def cluster(nodes: int) -> Iterator[str]:
    """A Ray cluster with nodes of a core each; its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cluster.machines", str(nodes), "1"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    try:
        yield str(json.loads(process.stdout.readline())["address"])
    finally:
        process.stdin.close()
        process.wait(60)


@contextmanager
def worker(address: str, slots: int) -> Iterator[None]:
    """A home and its worker, with every slot warm."""
    home = tempfile.mkdtemp(prefix="crucible-benchmark-")
    os.environ["CRUCIBLE_HOME"] = home
    os.environ["CRUCIBLE_RAY_ADDRESS"] = address
    registry.ensure_sandbox()
    output = Path(home, "worker.txt")
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "jobs.running.worker"], cwd=ROOT, stdout=file, stderr=file
        )
    try:
        if address:
            wait(lambda: output.read_text().count("takes jobs") == slots)
        warm_up()
        yield
    finally:
        process.terminate()
        process.wait(60)
        close_databases()
        shutil.rmtree(home, ignore_errors=True)


def warm_up() -> None:
    """Until every zygote has imported everything: then what this has started has little to do."""
    busy = 0
    while busy < 10:
        before = cpu_seconds()
        time.sleep(0.5)
        busy = busy + 1 if cpu_seconds() - before < 0.1 else 0


def cpu_seconds() -> float:
    """CPU seconds of everything that this program has started and that still lives."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            total += sum(process.cpu_times()[:2])
        except psutil.Error:
            continue
    return total


def ended(job: int) -> bool:
    """Whether a job has ended."""
    row = job_rows.job(job)
    return row is not None and not row.open


def study_seconds(limit: int | None) -> tuple[float, float, float]:
    """Wall seconds of the study, CPU seconds of its lanes, and the longest lane's CPU seconds."""
    began = time.perf_counter()
    study_id, group = submit.submit(Design.from_mapping({**STUDY, "limit": limit}))
    wait(lambda: not any(job.open for job in job_rows.group(group)))
    wall = time.perf_counter() - began
    points = study_rows.points(study_id)
    failed = [job.error for job in job_rows.group(group) if job.state != "done"]
    failed += [one.error for one in points if one.state != "done"]
    if failed or len(points) != 40:
        raise SystemExit(f"{len(points)} points; what failed: {failed}")
    lanes = [job.result or {} for job in job_rows.group(group) if job.kind == "study"]
    cpu = [float(lane.get("cpu_total", 0.0)) for lane in lanes]
    return wall, sum(cpu), max(cpu)


def job_seconds() -> tuple[float, float]:
    """Wall seconds of a job that does nothing: one after the other, and of many at once."""
    alone = []
    for _ in range(10):
        began = time.perf_counter()
        job = api.submit("count", {"steps": 1, "seconds": 0.0}, title="Count")
        while not ended(job):
            time.sleep(0.002)
        alone.append(time.perf_counter() - began)
    began = time.perf_counter()
    jobs = [api.submit("count", {"steps": 1, "seconds": 0.0}, title="Count") for _ in range(JOBS)]
    wait(lambda: all(ended(job) for job in jobs))
    return statistics.median(alone), (time.perf_counter() - began) / JOBS


def main(rounds: int, limit: int | None) -> None:
    """Measure and print."""
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    walls: dict[int, list[float]] = {1: [], 2: []}
    for number in range(rounds):
        for nodes in (1, 2):
            with cluster(nodes) as address, worker(address, nodes):
                wall, cpu, longest = study_seconds(limit)
                walls[nodes].append(wall)
                load = os.getloadavg()[0]
                print(f"round {number + 1}, {nodes} node(s): {wall:.1f} s wall, lanes {cpu:.1f} "
                      f"CPU-s, the longest {longest:.1f}; load {load:.1f}")  # fmt: skip
                if number == 0:
                    print("  a job: {:.0f} ms alone, {:.0f} ms of many".format(
                        *(1000 * one for one in job_seconds())))  # fmt: skip
    with worker("", 1):
        print("  a job without Ray: {:.0f} ms alone, {:.0f} ms of many".format(
            *(1000 * one for one in job_seconds())))  # fmt: skip
    ratio = statistics.median(walls[1]) / statistics.median(walls[2])
    print(f"two nodes are {ratio:.2f} times as fast as one")


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 2,
        int(sys.argv[2]) if len(sys.argv) > 2 else None,
    )
