"""The shipped sandbox study for real: time, memory, and what it costs beyond scoring.

    python benchmarks/sandbox_study.py [--home FOLDER] [--limit N]
    python benchmarks/sandbox_study.py --commands 5 --mergekit-python PATH [--lm-eval PATH]
                                       [--batch-size 1]

Runs `recipes/studies/sandbox-three-stages.yaml` in a home of its own (kept with `--home`), as the
worker does on two cores. *Scoring* is what `evaluation.run.evaluate` takes for the points and the
evaluations of the parents as a whole; everything else, in every process, is *overhead*: merging,
the database, starting processes, reading tasks and prompts ahead, bookkeeping. Both in CPU seconds,
which a busy machine stretches less than wall time.

With `--commands`, so many points of the study, spread over it, are made by `mergekit-yaml` and
scored by `lm_eval --model hf` as commands, and their mean stands for every point: commands share
nothing from point to point.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from merging.recipes.recipe import Recipe

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
STUDY = ROOT / "recipes" / "studies" / "sandbox-three-stages.yaml"
OFFLINE = {
    "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1", "PYTHONPATH": str(ROOT),
}  # fmt: skip
CORES = 2


def run_study(home: Path, limit: int | None) -> None:
    """Run the study in a home and print its figures."""
    os.environ["CRUCIBLE_HOME"] = str(home)
    from db.queries import jobs as job_rows
    from jobs.models import registry
    from jobs.running.inline import run_group_inline
    from jobs.studies import state, submit
    from studies.design import Design

    registry.ensure_sandbox()
    design = Design.from_yaml(STUDY.read_text(encoding="utf-8"))
    if limit is not None:
        design = Design.from_mapping({**design.to_mapping(), "limit": limit})
    load = os.getloadavg()[0]
    began = time.monotonic()
    study_id, group = submit.submit(design)
    peak = Peak()
    run_group_inline(group, lambda _: None, slots=CORES)
    wall = time.monotonic() - began
    peak.stop()
    cpu = sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
    own = resource.getrusage(resource.RUSAGE_SELF)
    rows = job_rows.group(group)
    lanes = [row.result or {} for row in rows if row.kind == "study"]
    scoring = sum(one.get("cpu_score", 0.0) for one in lanes)
    merging = sum(one.get("cpu_merge", 0.0) for one in lanes)
    in_lanes = sum(one.get("cpu_total", 0.0) for one in lanes)
    told = state.progress(study_id)["points"]
    print(f"load before {load:.1f}, after {os.getloadavg()[0]:.1f}; {os.cpu_count()} cores")
    print(f"points: {told}; jobs that failed: {[row.error for row in rows if row.error]}")
    each = scoring / max(1, told["done"])
    print(f"wall {wall:.0f} s, all processes {cpu:.0f} CPU-s; a point {each:.2f}")
    print(f"lanes {in_lanes:.0f} CPU-s: scoring {scoring:.0f}, merging {merging:.1f}, "
          f"else {in_lanes - scoring - merging:.1f}")  # fmt: skip
    print(f"beside the lanes (parents' evaluations and similarity, worker, imports): "
          f"{cpu - in_lanes:.0f} CPU-s")  # fmt: skip
    print(f"this process (planning, recording, watching): {own.ru_utime + own.ru_stime:.0f} CPU-s")
    print(f"overhead of the lanes over their scoring: {(in_lanes - scoring) / scoring:.1%}; "
          f"of everything but the points' scoring: {(cpu - scoring) / scoring:.1%}")  # fmt: skip
    print(f"largest process {peak.mb:.0f} MB, all together {peak.together_mb:.0f} MB")
    begun = time.perf_counter()
    results = state.load(study_id)
    print(f"state.load: {time.perf_counter() - begun:.2f} s, {len(results.points)} points")


class Peak:
    """The largest resident memory among this process and its children, and of all together."""

    def __init__(self) -> None:
        self.mb = self.together_mb = 0.0
        self._going = True
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        import psutil

        me = psutil.Process()
        while self._going:
            sizes = []
            for process in [me, *me.children(recursive=True)]:
                try:
                    sizes.append(process.memory_info().rss / 1e6)
                except psutil.NoSuchProcess:
                    continue
            self.mb = max(self.mb, *sizes)
            self.together_mb = max(self.together_mb, sum(sizes))
            time.sleep(1.0)

    def stop(self) -> None:
        """End watching."""
        self._going = False
        self._thread.join()


def timed(command: Sequence[str]) -> tuple[float, float]:
    """(wall seconds, CPU seconds) of a whole process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(
        list(command), env=os.environ | OFFLINE, capture_output=True, text=True, check=False
    )
    wall = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run_commands(n: int, mergekit_python: str, lm_eval: str, batch_size: str) -> None:
    """Make and score some points with commands; print what all of them would take."""
    from studies.design import Design
    from studies.points import points_of

    design = Design.from_yaml(STUDY.read_text(encoding="utf-8"))
    total = sum(design.counts().values())
    points = [point for stage in design.merge_stages for point in points_of(design, stage)]
    chosen = [points[round(i * (len(points) - 1) / max(1, n - 1))] for i in range(n)]
    merge = str(Path(mergekit_python).parent / "mergekit-yaml")
    walls, cpus = [], []
    with tempfile.TemporaryDirectory(prefix="crucible-study-") as name:
        folder = Path(name)
        tasks = plain_tasks(folder)
        for place, point in enumerate(chosen):
            recipe, merged = folder / f"{place}.yaml", folder / f"merged-{place}"
            names = {f"sandbox/{one.name}": str(one) for one in (ROOT / "sandbox").iterdir()}
            recipe.write_text(in_its_form(point.recipe(design)).to_mergekit(names), "utf-8")
            merging = timed([merge, str(recipe), str(merged)])
            scoring = [
                timed(command)
                for command in lm_eval_commands(lm_eval, merged, tasks, folder, batch_size)
            ]
            walls.append(merging[0] + sum(one[0] for one in scoring))
            cpus.append(merging[1] + sum(one[1] for one in scoring))
            print(f"{point.label}: mergekit {merging[0]:.1f} s ({merging[1]:.1f} CPU-s), lm_eval "
                  + ", ".join(f"{w:.1f} s ({c:.1f})" for w, c in scoring), flush=True)  # fmt: skip
    mean_wall, mean_cpu = sum(walls) / n, sum(cpus) / n
    print(f"a point {mean_wall:.1f} s, {mean_cpu:.1f} CPU-s; {total} points one after the other "
          f"{total * mean_wall:.0f} s, {total * mean_cpu:.0f} CPU-s")  # fmt: skip


def in_its_form(recipe: Recipe) -> Recipe:
    """The recipe with the options that mergekit has in place of the papers': it takes as long."""
    own: dict[str, dict[str, Any]] = {
        "ties": {"election_weights": True},
        "dare_ties": {"election_weights": True, "normalize": False, "rescale": "l1"},
    }
    options = {**recipe.options, **own.get(recipe.method, {})}
    return type(recipe)(**{**recipe.model_dump(), "options": options})


def plain_tasks(folder: Path) -> dict[bool, list[str]]:
    """Copy the suite's tasks to where `lm_eval` finds them; whether with chat template -> names."""
    from evaluation.suites import load_suite

    suite = load_suite("sandbox")
    out = folder / "tasks"
    out.mkdir()
    by_chat: dict[bool, list[str]] = {False: [], True: []}
    for name, file in suite.task_files().items():
        if name not in suite.tasks:
            continue
        import yaml

        config: dict[str, Any] = yaml.safe_load(Path(file.path).read_text(encoding="utf-8"))
        data = {split: [str(path) for path in paths] for split, paths in file.data_files().items()}
        config["dataset_kwargs"] = {**config.get("dataset_kwargs", {}), "data_files": data}
        config["num_fewshot"] = 0
        (out / f"{name}.yaml").write_text(yaml.safe_dump({"task": name, **config}), "utf-8")
        by_chat[bool(suite.settings_for(name).apply_chat_template)].append(name)
    return by_chat


def lm_eval_commands(
    lm_eval: str, model: Path, tasks: dict[bool, list[str]], folder: Path, batch_size: str
) -> list[list[str]]:
    """One command for the plain tasks, and one for those with a chat template."""
    from shutil import copyfile

    template = model / "chat_template.jinja"
    if not template.exists():
        copyfile(ROOT / "sandbox" / "chat_template.jinja", template)
    return [
        [
            lm_eval, "--model", "hf", "--model_args",
            f"pretrained={model},dtype=float32,add_bos_token=True", "--tasks", ",".join(names),
            "--include_path", str(folder / "tasks"), "--device", "cpu", "--batch_size", batch_size,
            *(["--apply_chat_template"] if chat else []),
        ]
        for chat, names in tasks.items() if names
    ]  # fmt: skip


def main() -> None:
    """Read the options and run one of the two."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--home", type=Path, help="keep the study in this home")
    options.add_argument("--limit", type=int, help="items a task")
    options.add_argument("--commands", type=int, default=0, help="points to make with commands")
    options.add_argument("--mergekit-python", default="", help="of an environment with mergekit")
    options.add_argument("--lm-eval", default=str(Path(sys.executable).parent / "lm_eval"))
    options.add_argument("--batch-size", default="16",
                         help="of lm-eval, whose own default is 1; a number or auto")  # fmt: skip
    given = options.parse_args()
    if given.commands:
        run_commands(given.commands, given.mergekit_python, given.lm_eval, given.batch_size)
        return
    if given.home is not None:
        given.home.mkdir(parents=True, exist_ok=True)
        run_study(given.home, given.limit)
        return
    with tempfile.TemporaryDirectory(prefix="crucible-study-") as name:
        run_study(Path(name), given.limit)


if __name__ == "__main__":
    main()
