"""The shipped searches on the sandbox: the best merge against the best known point and parent.

    python benchmarks/sandbox_search.py [--trials 40] [--home FOLDER] [SEARCH ...]

Runs `recipes/searches/sandbox-*.yaml` through the command line, as a user would, in a home of its
own, and prints the final table: everything on held-out items, with 95 % intervals and the paired
interval of the differences, whichever way they fall.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
SEARCHES = ROOT / "recipes" / "searches"


def main() -> None:
    """Run them and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=["sandbox-weights", "sandbox-two-objectives"])
    parser.add_argument("--trials", type=int, default=None, help="in place of the designs' own")
    parser.add_argument("--home", type=Path, default=None, help="kept; default: a new one")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = chosen.home or Path(folder)
        for name in chosen.names:
            run(name, home, Path(folder), chosen.trials)


def run(name: str, home: Path, folder: Path, trials: int | None) -> None:
    """One search: its table, and what it took."""
    design = yaml.safe_load((SEARCHES / f"{name}.yaml").read_text(encoding="utf-8"))
    design["trials"] = trials or design["trials"]
    file, out = folder / f"{name}.yaml", folder / f"{name}.json"
    file.write_text(yaml.safe_dump(design), encoding="utf-8")
    began, cpu = time.perf_counter(), children_seconds()
    command = [sys.executable, "cli.py", "search", str(file), "--json", str(out)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "CRUCIBLE_HOME": str(home)})
    if done.returncode:
        raise SystemExit(done.returncode)
    data = json.loads(out.read_text(encoding="utf-8"))
    states = [one["state"] for one in data["trials"]]
    print(f"\n{name}: {states.count('done')} trials scored, {states.count('pruned')} pruned, "
          f"{states.count('failed')} failed; {time.perf_counter() - began:.0f} s, "
          f"{children_seconds() - cpu:.0f} CPU-s with parents and held-out scores")  # fmt: skip
    for one in data["held_out"]["against"]:
        print(f"  minus {one['label']}: {100 * one['difference']:+.2f} points "
              f"[{100 * one['low']:+.2f}, {100 * one['high']:+.2f}], {one['verdict']}")  # fmt: skip
    print(data["recipe"])


def children_seconds() -> float:
    """CPU seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
