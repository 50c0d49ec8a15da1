"""The same merge by Crucible and by mergekit, as whole processes, alternating.

    python benchmarks/merge_vs_mergekit.py --mergekit-python PATH [--millions 550] [--runs 3]

PATH is the Python of a virtual environment that has mergekit 0.1.5. Makes synthetic Llama
checkpoints in bfloat16 (a base and three variants with small deltas), merges them by each method
with both tools, and prints wall and CPU seconds, peak memory, bytes moved and how far the outputs
agree. mergekit computes in float32 and writes bfloat16, as Crucible does; options that differ by
default are set to mergekit's meaning in both recipes. Without --mergekit-python Crucible is timed
alone. A line "copy" is the floor: every input byte read once and as many as the output has written
once, in pieces of a megabyte, by one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("base", "one", "two", "three")
VOCABULARY, HIDDEN, MLP, HEADS = 32_000, 1536, 4096, 16
# share of the entries that a variant changes, and by how much (standard deviation)
CHANGES = {"one": (0.3, 2e-3), "two": (0.5, 1e-3), "three": (1.0, 5e-4)}
LAYER_PARAMETERS = 4 * HIDDEN**2 + 3 * HIDDEN * MLP + 2 * HIDDEN
# What differs between the tools by default, in mergekit's meaning.
OURS = {
    "ties": {"density": 0.5, "election_weights": True},
    "dare_linear": {"density": 0.5, "rescale": "l1"},
    "dare_ties": {"density": 0.5, "rescale": "l1", "election_weights": True, "normalize": False},
    "della": {"density": 0.5, "epsilon": 0.3, "rescale": "l1", "election_weights": True},
    "breadcrumbs": {"density": 0.9, "gamma": 0.01},
}
THEIRS = {
    "ties": {"density": 0.5},
    "dare_linear": {"density": 0.5},
    "dare_ties": {"density": 0.5},
    "della": {"density": 0.5, "epsilon": 0.15},
    "breadcrumbs": {"density": 0.9, "gamma": 0.01},
}
RANDOM = ("dare_linear", "dare_ties", "della")


@dataclass(frozen=True)
class Run:
    """One whole process: seconds, CPU seconds, peak resident bytes."""

    wall: float
    cpu: float
    peak_bytes: int


def write_checkpoints(folder: Path, millions: float) -> int:
    """Write the base and its variants; return the number of layers."""
    import torch
    from safetensors.torch import save_file

    layers = max(1, round((millions * 1e6 - 2 * VOCABULARY * HIDDEN) / LAYER_PARAMETERS))
    generator = torch.Generator().manual_seed(0)
    base = {n: draw(s, 0.02, generator).bfloat16() for n, s in shapes(layers).items()}
    for name in NAMES:
        path = folder / name
        path.mkdir(parents=True)
        weights = base
        if name != "base":
            share, spread = CHANGES[name]
            weights = {}
            for n, w in base.items():
                change = draw(w.shape, spread, generator)
                change *= torch.rand(w.shape, generator=generator) < share
                weights[n] = (w.float() + change).bfloat16()
        save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
        config = {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16",
            "hidden_size": HIDDEN, "intermediate_size": MLP, "num_hidden_layers": layers,
            "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "vocab_size": VOCABULARY,
            "tie_word_embeddings": False, "bos_token_id": 0, "eos_token_id": 0,
        }  # fmt: skip
        (path / "config.json").write_text(json.dumps(config))
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(ROOT / "sandbox" / "base" / file, path)
    return layers


def draw(shape: Sequence[int], spread: float, generator: torch.Generator) -> torch.Tensor:
    """Normal numbers, float32."""
    import torch

    return torch.randn(tuple(shape), generator=generator) * spread


def shapes(layers: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a Llama checkpoint's tensors."""
    square, up, down = (HIDDEN, HIDDEN), (MLP, HIDDEN), (HIDDEN, MLP)
    one = {
        **{f"self_attn.{n}_proj.weight": square for n in "qkvo"},
        "mlp.gate_proj.weight": up, "mlp.up_proj.weight": up, "mlp.down_proj.weight": down,
        "input_layernorm.weight": (HIDDEN,), "post_attention_layernorm.weight": (HIDDEN,),
    }  # fmt: skip
    return {
        "model.embed_tokens.weight": (VOCABULARY, HIDDEN),
        **{f"model.layers.{i}.{n}": s for i in range(layers) for n, s in one.items()},
        "model.norm.weight": (HIDDEN,),
        "lm_head.weight": (VOCABULARY, HIDDEN),
    }


def write_recipes(folder: Path, method: str) -> tuple[Path, Path]:
    """The same merge for both tools; return our file and theirs."""
    variants = NAMES[1:2] if method == "slerp" else NAMES[1:]
    listed = list(NAMES[:2]) if method == "slerp" else list(variants)
    ours: dict[str, object] = {
        "method": method,
        "models": [{"model": str(folder / name), "role": "expert"} for name in listed],
        "options": {"t": 0.4} if method == "slerp" else OURS.get(method, {}),
        "dtype": "bfloat16",
    }
    if method not in ("linear", "slerp"):
        ours["base"] = str(folder / "base")
    theirs: dict[str, object] = {
        "merge_method": method,
        "models": [
            {"model": str(folder / name), "parameters": {"weight": 1.0, **THEIRS.get(method, {})}}
            for name in listed
        ],
        "dtype": "float32",
        "out_dtype": "bfloat16",
    }
    if method == "slerp":
        theirs["parameters"] = {"t": 0.4}
    if method != "linear":
        theirs["base_model"] = str(folder / "base")
    paths = folder / f"{method}-ours.yaml", folder / f"{method}-theirs.yaml"
    for path, recipe in zip(paths, (ours, theirs), strict=True):
        path.write_text(yaml.safe_dump(recipe))
    return paths


def timed(command: Sequence[str], home: Path) -> Run:
    """Run a command to its end; stop everything when it fails."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, "CRUCIBLE_HOME": str(home)}
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            sys.exit(output.read().decode(errors="replace")[-2000:])
    cpu = used.ru_utime + used.ru_stime
    return Run(time.monotonic() - began, cpu, used.ru_maxrss * 1024)


def agreement(ours: Path, theirs: Path) -> float:
    """Share of elements further apart than one unit in the last place of bfloat16."""
    import torch
    from safetensors import safe_open

    apart = elements = 0
    files = [safe_open(folder / "model.safetensors", "pt") for folder in (ours, theirs)]
    for name in files[0].keys():  # noqa: SIM118 - not a dictionary
        bits = [file.get_tensor(name).view(torch.int16).int() for file in files]
        # Bit patterns count upwards from zero on both sides of it.
        x, y = (torch.where(v < 0, -(v & 0x7FFF), v) for v in bits)
        apart += int(((x - y).abs() > 1).sum())
        elements += x.numel()
    return apart / elements


def away_from_threshold(folder: Path, density: float) -> int:
    """Elements further apart than one unit that TIES' thresholds do not explain.

    Differences of bfloat16 numbers take few values, so many magnitudes equal the k-th largest.
    Crucible keeps all of them, mergekit whichever its sort puts first.
    """
    import torch
    from safetensors import safe_open

    names = ("ours", "theirs", *NAMES)
    files = {name: safe_open(folder / name / "model.safetensors", "pt") for name in names}
    unexplained = 0
    for name in files["ours"].keys():  # noqa: SIM118 - not a dictionary
        bits = [files[one].get_tensor(name).view(torch.int16).int() for one in ("ours", "theirs")]
        x, y = (torch.where(v < 0, -(v & 0x7FFF), v) for v in bits)
        apart = (x - y).abs() > 1
        if not apart.any():
            continue
        base = files["base"].get_tensor(name).float()
        explained = torch.zeros_like(apart)
        for one in NAMES[1:]:
            sizes = (files[one].get_tensor(name).float() - base).abs()
            kept = max(1, int(density * sizes.numel()))
            threshold = sizes.flatten().kthvalue(sizes.numel() - kept + 1).values
            explained |= sizes == threshold
        unexplained += int((apart & ~explained).sum())
    return unexplained


def aside(function: Any, *arguments: Any) -> Any:
    """Call a function in a process of its own.

    What is measured here is forked from this process, and the kernel counts this one's memory into
    the peak of its children: so this process never loads a tensor.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def compare(method: str, folder: Path, python: str, runs: int) -> None:
    """Merge by one method with both tools in turn, and print a line for each and the ratios."""
    ours_recipe, theirs_recipe = write_recipes(folder, method)
    ours, theirs = [], []
    for _ in range(runs):
        for out in ("ours", "theirs"):
            shutil.rmtree(folder / out, ignore_errors=True)
        command = [sys.executable, str(ROOT / "cli.py"), "merge", str(ours_recipe)]
        # Crucible remembers fingerprints by home; a new one knows none
        shutil.rmtree(folder / "home", ignore_errors=True)
        ours.append(timed([*command, str(folder / "ours"), "--device", "cpu"], folder / "home"))
        if python:
            tool = str(Path(python).parent / "mergekit-yaml")
            command = [tool, str(theirs_recipe), str(folder / "theirs")]
            theirs.append(timed(command, folder / "home"))
    a = median(ours)
    tell(method, "crucible", a)
    if not python:
        return
    b = median(theirs)
    tell(method, "mergekit", b)
    apart = "random"
    if method not in RANDOM:
        apart = f"{aside(agreement, folder / 'ours', folder / 'theirs'):.5%}"
    if method == "ties":
        left = aside(away_from_threshold, folder, THEIRS["ties"]["density"])
        apart += f" ({left} elements of them not at a threshold)"
    print(
        f"{method:<16} times less: wall {b.wall / a.wall:.1f}, CPU {b.cpu / a.cpu:.1f}, "
        f"memory {b.peak_bytes / a.peak_bytes:.1f}; more than one unit apart: {apart}",
        flush=True,
    )


def tell(method: str, name: str, run: Run) -> None:
    """Print one tool's figures."""
    print(
        f"{method:<16} {name}: wall {run.wall:6.1f} s, CPU {run.cpu:6.1f} s, "
        f"peak {run.peak_bytes / 1e6:5.0f} MB",
        flush=True,
    )


COPY = """
import os, sys
piece = bytearray(1 << 20)
out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
for number, name in enumerate(sys.argv[2:]):
    source = os.open(name, os.O_RDONLY)
    while count := os.readv(source, [piece]):
        if not number:
            os.write(out, memoryview(piece)[:count])
"""


def copy(folder: Path, runs: int) -> None:
    """The floor of a task-arithmetic merge: read four checkpoints, write one."""
    sources = [str(folder / name / "model.safetensors") for name in NAMES]
    made = folder / "copied"
    command = [sys.executable, "-c", COPY, str(made), *sources]
    found = []
    for _ in range(runs):
        found.append(timed(command, folder / "home"))
        made.unlink()
    tell("copy", "floor   ", median(found))


def median(runs: Sequence[Run]) -> Run:
    """The median of each figure."""
    return Run(
        statistics.median(run.wall for run in runs),
        statistics.median(run.cpu for run in runs),
        int(statistics.median(run.peak_bytes for run in runs)),
    )


def main() -> None:
    """Make the checkpoints, merge, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mergekit-python", default="")
    parser.add_argument("--millions", type=float, default=550, help="parameters of a checkpoint")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--methods",
        default="linear,task_arithmetic,slerp,ties,dare_linear,dare_ties,della,breadcrumbs",
    )
    parser.add_argument("--folder", help="where checkpoints lie from an earlier run, or stay")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(given.folder or scratch)
        if not (folder / "three" / "config.json").exists():
            aside(write_checkpoints, folder, given.millions)
        layers = json.loads((folder / "base" / "config.json").read_text())["num_hidden_layers"]
        size = (folder / "base" / "model.safetensors").stat().st_size
        print(f"{layers} layers, {size / 1e6:.0f} MB a checkpoint; {os.cpu_count()} cores, "
              f"load {os.getloadavg()[0]:.1f}", flush=True)  # fmt: skip
        copy(folder, given.runs)
        for method in given.methods.split(","):
            compare(method, folder, given.mergekit_python, given.runs)


if __name__ == "__main__":
    main()
