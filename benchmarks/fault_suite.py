"""The fault suite in its long form: the real application killed again and again under real work.

    python benchmarks/fault_suite.py [--kills 200] [--per-round 10] [--seed 1] [--keep FOLDER]

Each round is a new home with the real application (pages, worker, fork server, job processes): a
merge that is scored beside its parents, a study of two experts, and small jobs. Processes are
killed at random moments, drawn from the seed, until the round has had its share; then the jobs end
in peace. After each kill the database is copied as a power cut at that moment would leave it, and
looked at; at the end every invariant is checked (`tests/faults/invariants.py`), and scores, models
and points are compared with those of a run that nobody disturbed. Prints a table.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
               "TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}  # fmt: skip

from tests.faults import load, processes, siege  # noqa: E402

PAUSE_SECONDS = 2.0  # between two kills, on average
ROLES = {"child": "a job's process", "worker": "the worker", "zygote": "the fork server",
         "web": "the application"}  # fmt: skip


def a_round(seed: int, kills: int, keep: Path | None) -> tuple[siege.Report, dict[str, object]]:
    """One home under siege; its report, and what came of its jobs."""
    home = Path(tempfile.mkdtemp(prefix="crucible-faults-"))
    (home / "tmp").mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = tuple(part.format(port=port) for part in processes.STREAMLIT)
    app = processes.App(home, command, {"TMPDIR": str(home / "tmp")})
    with load.working_in(home):
        fight = siege.Siege(app, load.Mix(trivial=24, limit=60, suite=None), random.Random(seed),
                            kills=kills, pause_seconds=PAUSE_SECONDS)  # fmt: skip
        report = fight.run()
        found = load.outcome()
    if keep and report.problems:
        siege.keep_logs(home, keep / f"seed-{seed}")
    shutil.rmtree(home, ignore_errors=True)
    return report, found


def differences(undisturbed: dict[str, object], found: dict[str, object]) -> list[str]:
    """What is lost, added or other than in the undisturbed run."""
    told = []
    for part, expected in undisturbed.items():
        have = found[part]
        if not isinstance(expected, dict) or not isinstance(have, dict):
            told += [] if expected == have else [f"{part}: {have} in place of {expected}"]
            continue
        told += [f"{part}: {key} is lost" for key in expected.keys() - have.keys()]
        told += [f"{part}: {key} is new" for key in have.keys() - expected.keys()]
        told += [f"{part}: {key} is {have[key]} in place of {expected[key]}"[:400]
                 for key in expected.keys() & have.keys() if expected[key] != have[key]]  # fmt: skip
    return told


def main() -> int:
    """Run the rounds and print the table; the exit code is 1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--per-round", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for the logs of rounds with a problem")
    given = parser.parse_args()
    began, load_before = time.monotonic(), os.getloadavg()[0]
    _, undisturbed = a_round(0, 0, given.keep)
    print(f"undisturbed: {time.monotonic() - began:.0f} s, "
          f"{len(undisturbed['scores'])} scores, {len(undisturbed['points'])} point scores, "  # type: ignore[arg-type]
          f"{len(undisturbed['models'])} models", flush=True)  # type: ignore[arg-type]  # fmt: skip
    whole, problems = siege.Report(), []
    seed = given.seed
    while (left := given.kills - sum(whole.kills.values())) > 0:
        started = time.monotonic()
        report, found = a_round(seed, min(left, given.per_round), given.keep)
        here = report.problems + differences(undisturbed, found)
        whole.kills += report.kills
        whole.resumed += report.resumed
        whole.gone += report.gone
        whole.cuts += report.cuts
        whole.presses += report.presses
        problems += [f"seed {seed}: {text}" for text in here]
        print(f"seed {seed}: {dict(report.kills)}, {time.monotonic() - started:.0f} s, "
              f"{report.presses} pressed again, problems: {here or 'none'}", flush=True)  # fmt: skip
        seed += 1
    table(whole, problems, load_before, time.monotonic() - began)
    return 1 if problems else 0


def table(whole: siege.Report, problems: list[str], load_before: float, seconds: float) -> None:
    """Print what happened, for `benchmarks/RESULTS.md`."""
    counts: Counter[str] = whole.kills
    print(f"\n{seconds:.0f} s; load {load_before:.1f} before, {os.getloadavg()[0]:.1f} after\n")
    print("| killed | times |\n|---|---|")
    for role, words in ROLES.items():
        print(f"| {words} | {counts[role]} |")
    print(f"| together | {sum(counts.values())} |\n")
    for name, times in (("killed to a job's start", whole.resumed), ("killed to gone", whole.gone)):
        if times:
            print(f"{name}: median {statistics.median(times):.1f} s, most {max(times):.1f} s")
    print(f"power cuts looked at: {whole.cuts}; *Try again* pressed {whole.presses} times")
    print(f"problems: {len(problems)}")
    for text in problems:
        print(f"* {text}")


if __name__ == "__main__":
    sys.exit(main())
