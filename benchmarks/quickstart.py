"""How long the main job takes, from a warm install to the printed leaderboard.

    python benchmarks/quickstart.py [--runs 3]

Each run is `python cli.py quickstart` as a whole process with a home folder of its own: it merges
finance + instruct - base and scores the merge and its three parents on the sandbox suite.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CLI = Path(__file__).resolve().parent.parent / "cli.py"


def cpu_seconds() -> float:
    """CPU time of all finished children so far, user and system."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_once() -> tuple[float, float]:
    """Run quickstart in a new home; return wall and CPU seconds."""
    with tempfile.TemporaryDirectory() as home:
        wall, cpu = time.monotonic(), cpu_seconds()
        subprocess.run(
            [sys.executable, str(CLI), "quickstart"],
            env={**os.environ, "CRUCIBLE_HOME": home},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return time.monotonic() - wall, cpu_seconds() - cpu


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    count = parser.parse_args().runs
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load before {load:.1f}, Python {sys.version.split()[0]}")
    runs = [run_once() for _ in range(count)]
    for name, values in zip(("wall", "CPU"), zip(*runs, strict=True), strict=True):
        spread = f"{min(values):.1f} to {max(values):.1f}"
        print(f"quickstart, {name}: median {statistics.median(values):.1f} s ({spread})")


if __name__ == "__main__":
    main()
