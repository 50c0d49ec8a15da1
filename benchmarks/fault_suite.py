"""The fault suite in its long form: the real application killed again and again under real work.

    python benchmarks/fault_suite.py [--kills 200] [--per-round 10] [--others] [--keep FOLDER]

Each round is a new home with the real application (pages, worker, fork server, job processes): a
merge that is scored beside its parents, a study of two experts, and small jobs. Processes are
killed at random moments, drawn from the seed, until the round has had its share; then the jobs end
in peace. After each kill the database is copied as a power cut at that moment would leave it, and
looked at; at the end every invariant is checked (`tests/faults/invariants.py`), and scores, models
and points are compared with those of a run that nobody disturbed. Prints a table.

With `--others` three more rounds follow: another program locks the database (once for 35 s, longer
than anybody waits for it), the clock is set forward and back by hours, and of two applications on
one home the one with the worker is killed. `--memory 130` instead scores one model in a control
group of the kernel's with that many MB beside what the idle worker takes (root, cgroups version 1).
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
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
               "TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}  # fmt: skip

from db.queries import jobs as job_rows  # noqa: E402
from jobs.models import registry  # noqa: E402
from jobs.running import api  # noqa: E402
from tests.faults import load, processes, siege, troubles  # noqa: E402

Outcome = dict[str, Any]  # of `load.outcome`

WARM_BYTES = 300_000_000  # a fork server that has imported everything takes more
PAUSE_SECONDS = 2.0  # between two kills, on average
ROLES = {"child": "a job's process", "worker": "the worker", "zygote": "the fork server",
         "web": "the application"}  # fmt: skip


def a_round(
    seed: int, kills: int, keep: Path | None, trouble: str = "kills"
) -> tuple[siege.Report, Outcome]:
    """One home in trouble; its report, and what came of its jobs."""
    home = Path(tempfile.mkdtemp(prefix="crucible-faults-"))
    (home / "tmp").mkdir()
    first, second = (processes.App(home, command(), {"TMPDIR": str(home / "tmp")}) for _ in "12")
    chance, mix = random.Random(seed), load.Mix(trivial=24, limit=60, suite=None)
    with load.working_in(home):
        match trouble:
            case "locked":
                fight: siege.Siege = troubles.Locked(first, mix, chance)
            case "clock":
                fight = troubles.Clocked(first, mix, chance, home)
            case "two applications":
                fight = troubles.Shared(first, mix, chance, second)
            case _:
                fight = siege.Siege(first, mix, chance, kills=kills, pause_seconds=PAUSE_SECONDS)
        report = fight.run()
        found = load.outcome()
    if keep and report.problems:
        siege.keep_logs(home, keep / f"{trouble.replace(' ', '-')}-{seed}")
    shutil.rmtree(home, ignore_errors=True)
    return report, found


def command() -> tuple[str, ...]:
    """Arguments of Python that start the application on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return tuple(part.format(port=port) for part in processes.STREAMLIT)


def differences(undisturbed: Outcome, found: Outcome) -> list[str]:
    """What is lost, added or other than in the undisturbed run."""
    wrong = []
    for part, expected in undisturbed.items():
        have = found[part]
        if not isinstance(expected, dict) or not isinstance(have, dict):
            wrong += [] if expected == have else [f"{part}: {have} in place of {expected}"]
            continue
        wrong += [f"{part}: {key} is lost" for key in expected.keys() - have.keys()]
        wrong += [f"{part}: {key} is new" for key in have.keys() - expected.keys()]
        for key in expected.keys() & have.keys():
            if expected[key] != have[key]:
                wrong.append(f"{part}: {key} is {have[key]} in place of {expected[key]}"[:400])
    return wrong


def main() -> int:
    """Run the rounds and print the table; the exit code is 1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--per-round", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for the logs of rounds with a problem")
    parser.add_argument("--others", action="store_true", help="locks, clocks, two applications too")
    parser.add_argument("--memory", type=int, help="only an evaluation in so many MB (needs root)")
    given = parser.parse_args()
    if given.memory:
        return starved(given.memory * 1_000_000)
    began, load_before = time.monotonic(), os.getloadavg()[0]
    _, undisturbed = a_round(0, 0, given.keep)
    parts = {name: len(found) for name, found in undisturbed.items() if isinstance(found, dict)}
    print(f"undisturbed: {time.monotonic() - began:.0f} s, {parts}", flush=True)
    whole, problems = siege.Report(), []
    seed = given.seed
    while (left := given.kills - sum(whole.kills.values())) > 0:
        report = told(f"seed {seed}", undisturbed, problems,
                      partial(a_round, seed, min(left, given.per_round), given.keep))  # fmt: skip
        whole.add(report)
        seed += 1
    if given.kills:
        table(whole)
    for trouble in ("locked", "clock", "two applications") if given.others else ():
        report = told(trouble, undisturbed, problems,
                      partial(a_round, given.seed, 0, given.keep, trouble))  # fmt: skip
        if report.resumed:
            print(
                f"the other took over after {', '.join(f'{one:.1f}' for one in report.resumed)} s"
            )
    print(f"\n{time.monotonic() - began:.0f} s in all; load {load_before:.1f} before, "
          f"{os.getloadavg()[0]:.1f} after; problems: {len(problems)}")  # fmt: skip
    for text in problems:
        print(f"* {text}")
    return 1 if problems else 0


def starved(room_bytes: int) -> int:
    """Score a model with so little room beside the warm fork server that the kernel kills."""
    home = Path(tempfile.mkdtemp(prefix="crucible-faults-"))
    app, limit = processes.App(home), troubles.MemoryLimit()
    with load.working_in(home):
        registry.ensure_sandbox()
        app.start()
        try:
            assert app.process is not None
            limit.hold(app.process.pid)
            before, used = -1, 0
            while used != before or used < WARM_BYTES:  # until nothing more is imported
                time.sleep(3.0)
                before, used = used, limit.used()
            limit.set(used + room_bytes)
            (row,) = job_rows.group(api.benchmark(["sandbox/math"], "sandbox"))
            while (now := job_rows.job(row.id)) is not None and now.open:
                time.sleep(0.2)
        finally:
            app.stop()
            limit.close()
    print(now and (now.state, now.error, now.attempt, now.deaths, now.result))
    shutil.rmtree(home, ignore_errors=True)
    return 0


def told(
    name: str,
    undisturbed: Outcome,
    problems: list[str],
    run: Callable[[], tuple[siege.Report, Outcome]],
) -> siege.Report:
    """Run a round and print a line of it; what was wrong is added to `problems`."""
    began = time.monotonic()
    report, found = run()
    here = report.problems + differences(undisturbed, found)
    problems += [f"{name}: {text}" for text in here]
    print(f"{name}: {dict(report.kills)}, {time.monotonic() - began:.0f} s, "
          f"{report.presses} pressed again, problems: {len(here)}", flush=True)  # fmt: skip
    return report


def table(whole: siege.Report) -> None:
    """Print who was killed and what followed, for `benchmarks/RESULTS.md`."""
    print("\n| killed | times |\n|---|---|")
    for role, words in ROLES.items():
        print(f"| {words} | {whole.kills[role]} |")
    print(f"| together | {sum(whole.kills.values())} |\n")
    for name, times in (("killed to a job's start", whole.resumed), ("killed to gone", whole.gone)):
        if times:
            print(f"{name}: median {statistics.median(times):.1f} s, most {max(times):.1f} s")
    print(f"power cuts looked at: {whole.cuts}; *Try again* pressed {whole.presses} times\n")


if __name__ == "__main__":
    sys.exit(main())
