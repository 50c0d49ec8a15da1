"""A sweep of merges, each scored: one process of ours beside mergekit and lm-eval as commands.

    python benchmarks/sweep_vs_commands.py --mergekit-python PATH [--size small] [--items 100]

PATH is the Python of a virtual environment that has mergekit 0.1.5. Makes a base and two variants
in bfloat16 and a task of questions with 150-token contexts and four text choices, behind `--shots`
solved examples that are the same for all. Ours: one process that merges every point into memory
(the first as a new model, the others into it) and scores it as a job does; nothing is written.
Theirs: `mergekit-yaml`, then `lm_eval --model hf`, at a point; **one point is measured and
multiplied by 20**: commands share nothing from point to point. `--measure` of our points are run,
and the median of the later ones stands for the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
OFFLINE = {
    "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1", "PYTHONPATH": str(ROOT),
}  # fmt: skip
VOCABULARY = 32_000
# hidden, intermediate, heads, layers
SIZES = {
    "tiny": (256, 704, 4, 4), "small": (768, 2048, 12, 10), "half-billion": (1536, 4096, 16, 14),
}  # fmt: skip
POINTS = 20
CONTEXT, CHOICE = 150, 7  # tokens
TASK = """task: questions
dataset_path: json
dataset_kwargs: {data_files: {test: FILE, few: EXAMPLES}}
test_split: test
fewshot_split: few
fewshot_config: {sampler: first_n}
num_fewshot: SHOTS
output_type: multiple_choice
doc_to_text: q
doc_to_choice: c
doc_to_target: a
metadata: {version: 1.0}
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
SUITE = "title: Questions\ninclude: tasks\ngroups: {all: [questions]}\n"


def write_models(folder: Path, size: str) -> int:
    """Write a base, two variants and a tokenizer; return the number of weights of one."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    hidden, intermediate, heads, layers = SIZES[size]
    words = {"<s>": 0, "<unk>": 1} | {f"w{i}": i for i in range(2, VOCABULARY)}
    core = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="<s>", pad_token="<s>", unk_token="<unk>"
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=hidden, intermediate_size=intermediate,
        num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=heads,
        tie_word_embeddings=False, bos_token_id=0, eos_token_id=0, max_position_embeddings=2048,
    )  # fmt: skip
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    for name in ("base", "one", "two"):
        if name != "base":
            with torch.no_grad():
                for weight in model.parameters():
                    weight += torch.randn_like(weight) * 1e-3
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return sum(p.numel() for p in model.parameters())


def write_task(folder: Path, items: int, shots: int) -> Path:
    """Write the questions, their task and a suite of it; return the suite's file."""
    draw = random.Random(0)

    def text(n: int) -> str:
        return " ".join(f"w{draw.randrange(2, VOCABULARY)}" for _ in range(n))

    (folder / "tasks").mkdir()
    lines = [
        {"q": text(CONTEXT), "c": [text(CHOICE) for _ in range(4)], "a": draw.randrange(4)}
        for _ in range(items + max(1, shots))
    ]
    questions, examples = folder / "tasks" / "questions.jsonl", folder / "tasks" / "examples.jsonl"
    questions.write_text("\n".join(map(json.dumps, lines[:items])), encoding="utf-8")
    examples.write_text("\n".join(map(json.dumps, lines[items:])), encoding="utf-8")
    task = TASK.replace("FILE", str(questions)).replace("EXAMPLES", str(examples))
    task = task.replace("SHOTS", str(shots))
    (folder / "tasks" / "questions.yaml").write_text(task, encoding="utf-8")
    (folder / "suite.yaml").write_text(SUITE, encoding="utf-8")
    return folder / "suite.yaml"


def recipe_of(folder: Path, point: int) -> dict[str, Any]:
    """Task arithmetic, its weights between 0.1 and 1: in our format."""
    weight = 0.1 + 0.9 * point / (POINTS - 1)
    return {
        "method": "task_arithmetic",
        "base": str(folder / "base"),
        "models": [
            {"model": str(folder / name), "role": "expert", "weight": weight}
            for name in ("one", "two")
        ],
        "dtype": "bfloat16",
    }


def run_ours(folder: Path, measure: int, dtype: str) -> None:
    """The child process: merge and score so many points, one JSON line each."""
    import torch

    from evaluation.run import evaluate
    from evaluation.suites import load_suite
    from merging.in_memory import merge_into, merge_to_model
    from merging.recipes.recipe import Recipe

    torch.set_num_threads(os.cpu_count() or 1)
    suite = load_suite(folder / "suite.yaml")
    parents = {str(folder / name): folder / name for name in ("base", "one", "two")}
    model: Any = None
    tokenizer: Any = None
    for point in range(measure):
        started, cpu = time.perf_counter(), time.process_time()
        recipe = Recipe.from_mapping(recipe_of(folder, point))
        if model is None:
            model, tokenizer = ended(merge_to_model(recipe, parents, device="cpu"))
            model = model.to(getattr(torch, dtype))
        else:
            ended(merge_into(recipe, parents, model))
        merged = time.perf_counter() - started
        last: dict[str, Any] = {}
        for event in evaluate(model, tokenizer, suite):
            last = event
        told = {
            "score": last["scores"]["questions"],
            "merge": merged,
            "wall": time.perf_counter() - started,
            "cpu": time.process_time() - cpu,
        }
        print(json.dumps(told), flush=True)


def ended(events: Any) -> Any:
    """What a generator of events returns in the end."""
    while True:
        try:
            next(events)
        except StopIteration as stop:
            return stop.value


def timed(command: Sequence[str]) -> tuple[float, float, str]:
    """(wall seconds, CPU seconds, what it printed) of a whole process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(
        list(command), env=os.environ | OFFLINE, capture_output=True, text=True, check=False
    )
    wall = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, done.stdout


def ours(folder: Path, measure: int, dtype: str) -> tuple[float, float, list[float]]:
    """(wall, CPU) of all points, the unmeasured ones at the median; scores of the measured."""
    command = [sys.executable, __file__, "--child", str(folder), "--measure", str(measure)]
    command += ["--dtype", dtype]
    wall, cpu, printed = timed(command)
    points = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    left = POINTS - len(points)
    later = points[1:] or points
    one = {key: statistics.median(point[key] for point in later) for key in points[0]}
    print(
        f"ours: {len(points)} points in {wall:.1f} s, {cpu:.1f} CPU-s; a later one "
        f"{one['wall']:.2f} s ({one['merge']:.2f} of it merging), {one['cpu']:.2f} CPU-s"
    )
    return wall + left * one["wall"], cpu + left * one["cpu"], [p["score"] for p in points]


def theirs(
    folder: Path, mergekit_python: str, batch_size: str, dtype: str
) -> tuple[float, float, float]:
    """(wall, CPU, score) of the first point by the two commands."""
    mine = recipe_of(folder, 0)
    recipe = {
        "merge_method": "task_arithmetic",
        "base_model": mine["base"],
        "models": [
            {"model": one["model"], "parameters": {"weight": one["weight"]}}
            for one in mine["models"]
        ],
        "dtype": "bfloat16",
    }
    path, merged = folder / "theirs.yaml", folder / "merged"
    path.write_text(json.dumps(recipe), encoding="utf-8")
    command = str(Path(mergekit_python).parent / "mergekit-yaml")
    wall, cpu, _ = timed([command, str(path), str(merged)])
    print(f"mergekit-yaml: {wall:.1f} s, {cpu:.1f} CPU-s", flush=True)
    wall2, cpu2, _ = timed(
        [
            sys.executable, "-m", "lm_eval", "--model", "hf", "--model_args",
            f"pretrained={merged},dtype={dtype}", "--tasks", "questions", "--include_path",
            str(folder / "tasks"), "--device", "cpu", "--batch_size", batch_size,
            "--output_path", str(folder / "results"),
        ]
    )  # fmt: skip
    print(f"lm_eval at batch size {batch_size}: {wall2:.1f} s, {cpu2:.1f} CPU-s", flush=True)
    result = json.loads(next((folder / "results").rglob("results_*.json")).read_text())
    return wall + wall2, cpu + cpu2, result["results"]["questions"]["acc,none"]


def main() -> None:
    """Read the options, run both, print the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mergekit-python", default="", help="without it, ours alone")
    options.add_argument("--size", choices=SIZES, default="small")
    options.add_argument("--items", type=int, default=100)
    options.add_argument("--shots", type=int, default=0, help="solved examples before each item")
    options.add_argument("--measure", type=int, default=POINTS, help="of our points")
    options.add_argument("--batch-size", default="8", help="of lm-eval")
    options.add_argument("--dtype", default="float32", help="both score in: a job's on a CPU")
    options.add_argument("--child", default="", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.child:
        run_ours(Path(given.child), given.measure, given.dtype)
        return
    with tempfile.TemporaryDirectory(prefix="crucible-sweep-") as name:
        folder = Path(name)
        n = write_models(folder, given.size)
        write_task(folder, given.items, given.shots)
        asked = f"{given.items} items behind {given.shots} examples"
        print(f"{n / 1e6:.0f} M parameters in bfloat16, {asked}, {POINTS} points")
        wall, cpu, scores = ours(folder, given.measure, given.dtype)
        print(f"ours, all: {wall:.0f} s, {cpu:.0f} CPU-s; first scores {scores[:3]}", flush=True)
        if not given.mergekit_python:
            return
        wall1, cpu1, score = theirs(folder, given.mergekit_python, given.batch_size, given.dtype)
        print(
            f"commands, one point times {POINTS}: {POINTS * wall1:.0f} s, {POINTS * cpu1:.0f} "
            f"CPU-s; first score {score}\nours is 1/{POINTS * wall1 / wall:.1f} of it in wall time "
            f"and 1/{POINTS * cpu1 / cpu:.1f} in CPU time (asked: at most 1/5)"
        )


if __name__ == "__main__":
    main()
