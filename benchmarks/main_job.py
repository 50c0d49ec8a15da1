"""How long the main job takes: quickstart, a merge in the worker, the suite on one model.

    python benchmarks/main_job.py [--runs 5]

Everything runs on the shipped sandbox family in a home folder of its own. `quickstart` is timed as
a whole process; merge and evaluation from the times the worker itself wrote: asked (the row was
queued), begun, ended. The first job of each kind finds a worker that has just started, and is shown
apart.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

RECIPE = """
method: task_arithmetic
base: sandbox/base
models:
  - {{model: sandbox/finance, role: expert}}
  - {{model: sandbox/instruct, role: instruct}}
options: {{scale: {scale}}}
"""
MODELS = ["sandbox/base", "sandbox/finance", "sandbox/math", "sandbox/japanese", "sandbox/instruct"]


def spread(name: str, seconds: list[float]) -> None:
    """Print one line: median, least and most of several runs, in seconds."""
    print(
        f"{name:<44} median {statistics.median(seconds):6.2f} s   "
        f"({min(seconds):.2f} to {max(seconds):.2f}, {len(seconds)} runs)",
        flush=True,
    )


def quickstart(runs: int) -> None:
    """Time `python cli.py quickstart` from a new home folder to the printed leaderboard."""
    taken = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as home:
            begun = time.monotonic()
            subprocess.run(
                [sys.executable, str(ROOT / "cli.py"), "quickstart"],
                env={**os.environ, "CRUCIBLE_HOME": home},
                stdout=subprocess.DEVNULL,
                check=True,
            )
            taken.append(time.monotonic() - begun)
    spread("quickstart, whole process", taken)


def wait_for(group: str) -> None:
    """Wait until every job of a group has ended; stop with its error if one failed."""
    from db.queries import jobs as job_rows

    while any(row.open for row in job_rows.group(group)):
        time.sleep(0.05)
    failed = [row.error for row in job_rows.group(group) if row.state != "done"]
    if failed:
        sys.exit(f"A job did not end well: {failed[0]}")


def in_the_worker(runs: int) -> None:
    """Time merges and evaluations as jobs of a worker."""
    from db.queries import jobs as job_rows
    from jobs import api, registry, supervise

    registry.ensure_sandbox()
    supervise.start_worker_if_needed()
    try:
        merges = []
        for run in range(runs + 1):
            recipe = RECIPE.format(scale=0.5 + 0.01 * run)
            group = api.merge_and_benchmark(recipe, name=f"merge-{run}")
            wait_for(group)
            merges += job_rows.group(group)
        print(f"first merge after the worker's start: {merges[0].ended - merges[0].created:.2f} s")
        spread("merge, asked to done", [job.ended - job.created for job in merges[1:]])
        spread("merge, begun to done", [job.ended - job.started for job in merges[1:]])
        group = api.benchmark(MODELS, suite="sandbox")
        wait_for(group)
        scored = job_rows.group(group)
        spread("sandbox suite on one model, begun to done", [j.ended - j.started for j in scored])
    finally:
        supervise.stop_worker()


def main() -> None:
    """Measure everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory() as home:
        os.environ["CRUCIBLE_HOME"] = home
        in_the_worker(runs)
    quickstart(max(1, runs // 2 + 1))


if __name__ == "__main__":
    main()
