"""Nanoseconds per element of every merge kernel, on one core, and what compiling them costs.

    taskset -c 0 python benchmarks/merge_kernels.py [--millions 8] [--only ties]

The data are a base of N(0, 0.02) in bfloat16 and three experts that change 30 % of its entries by
N(0, 2e-3), 50 % by N(0, 1e-3) and all by N(0, 5e-4), rounded to bfloat16. They lie in memory as
bfloat16, and pass through the kernels in chunks of 65536 elements, as the merge stream does. Each
figure is the least of several runs: other programs only ever add to it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from merging.kernels import KERNELS
from merging.kernels.chunks import Chunk
from merging.kernels.convert import narrow, widen
from merging.methods import METHODS
from merging.recipes.checks import complete_options

CHUNK = 1 << 16
ROW = 4096
CHANGES = ((0.3, 2e-3), (0.5, 1e-3), (1.0, 5e-4))
MERGEKIT = {"election_weights": True, "normalize": False}
CASES: list[tuple[str, int, dict[str, Any]]] = [
    ("linear", 3, {}),
    ("passthrough", 1, {}),
    ("task_arithmetic", 3, {}),
    ("instruction_residual", 2, {}),
    ("slerp", 2, {}),
    ("ties", 3, {"density": 0.2}),
    ("ties", 3, {"density": 0.5, "election_weights": True}),
    ("dare_linear", 3, {}),
    ("dare_linear", 3, {"rescale": "l1"}),
    ("dare_ties", 3, {}),
    ("dare_ties", 3, {"rescale": "l1", **MERGEKIT}),
    ("breadcrumbs", 3, {"density": 0.9}),
    ("breadcrumbs_ties", 3, {"density": 0.9, **MERGEKIT}),
    ("della_linear", 3, {}),
    ("della", 3, {}),
    ("della", 3, {"rescale": "l1", **MERGEKIT}),
    ("model_stock", 3, {}),
    ("sce", 3, {}),
    ("nuslerp", 2, {}),
    ("multislerp", 3, {}),
    ("karcher", 3, {}),
]


class Stored:
    """A tensor of a base and experts in bfloat16; `chunks` widens it into reused buffers."""

    def __init__(self, elements: int, models: int, *, with_base: bool) -> None:
        random = np.random.default_rng(0)
        base = _rounded(0.02 * random.standard_normal(elements, np.float32))
        self.stored = [base]
        for share, size in CHANGES[:models]:
            noise = np.float32(size) * random.standard_normal(elements, np.float32)
            changed = random.random(elements, np.float32) < share
            wide = np.empty(elements, np.float32)
            widen(base, "BF16", wide)
            self.stored.append(_rounded(wide + noise * changed))
        self.n_elements, self.n_models, self.row_length = elements, models, ROW
        self.weights = [0.5, 0.3, 0.2][:models]
        self._with_base = with_base
        self._models = np.empty(models * CHUNK, np.float32)
        self._base, self._out = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.float32)

    def piece(self, start: int, stop: int) -> Chunk:
        """Elements `start` to `stop`."""
        n = stop - start
        models = self._models[: self.n_models * n].reshape(self.n_models, n)
        for row, stored in zip(models, self.stored[1:], strict=True):
            widen(stored[start:stop], "BF16", row)
        base = None
        if self._with_base:
            base = self._base[:n]
            widen(self.stored[0][start:stop], "BF16", base)
        keys = [11, 22, 33][: self.n_models]
        return Chunk(models, base, self.weights, keys, start, ROW, self._out[:n])

    def chunks(self) -> Iterator[Chunk]:
        """All elements."""
        for start in range(0, self.n_elements, CHUNK):
            yield self.piece(start, min(start + CHUNK, self.n_elements))


def _rounded(values: Any) -> Any:
    out = np.empty(values.size, np.uint16)
    narrow(values, "BF16", out)
    return out


def least(work: Callable[[], Any], runs: int) -> float:
    """CPU seconds of the fastest of several runs."""
    times = []
    for _ in range(runs):
        before = time.process_time()
        work()
        times.append(time.process_time() - before)
    return min(times)


def measure(name: str, models: int, options: dict[str, Any], elements: int, runs: int) -> None:
    """Print what the two steps of a method take per element, conversion from bfloat16 included."""
    kernel, given = KERNELS[name], options
    options = complete_options(METHODS[name], options)
    with_base = METHODS[name].needs_base == "required"
    tensor = Stored(elements, models, with_base=with_base)
    result = np.empty(CHUNK, np.uint16)

    def convert() -> None:
        for chunk in tensor.chunks():
            narrow(chunk.out, "BF16", result)

    def merge() -> None:
        for chunk in tensor.chunks():
            kernel.merge(chunk, statistics, **options)
            narrow(chunk.out, "BF16", result)

    statistics = kernel.observe(tensor, **options)
    per = 1e9 / elements
    found = least(lambda: kernel.observe(tensor, **options), runs) * per
    both = least(merge, runs) * per
    print(f"{name:18s} observe {found:6.2f}  merge {both:6.2f}  together {found + both:6.2f}"
          f"   (of merge, conversion {least(convert, runs) * per:5.2f})  {_short(given)}",
          flush=True)  # fmt: skip


def _short(options: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in options.items())


def compile_times(modules: Sequence[str]) -> None:
    """Print what the first import of each module costs, and a later one."""
    root = Path(__file__).resolve().parent.parent
    for module in modules:
        seconds = []
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(2):
                code = (
                    "import time, merging.kernels.convert as _; t = time.process_time();"
                    f"import merging.kernels.{module}; print(time.process_time() - t)"
                )
                if module == "convert":
                    code = "import merging.kernels.convert, time; print(time.process_time())"
                done = subprocess.run(
                    [sys.executable, "-c", code],
                    cwd=root,
                    env={**os.environ, "NUMBA_CACHE_DIR": folder},
                    capture_output=True,
                    text=True,
                    check=True,
                )
                seconds.append(float(done.stdout))
        print(f"{module:18s} first import {seconds[0]:5.2f} CPU-s, later {seconds[1]:5.2f}")


def main() -> None:
    """Measure all kernels, or those asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--millions", type=float, default=8, help="elements of the tensor")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="methods to measure")
    parser.add_argument("--compile", action="store_true", help="measure compiling instead")
    asked = parser.parse_args()
    if asked.compile:
        folder = Path(__file__).resolve().parent.parent / "merging" / "kernels"
        families = [path.stem for path in sorted(folder.glob("*.py")) if path.stem[0] != "_"]
        compile_times(["convert", *(name for name in families if name != "convert")])
        return
    for name, models, options in CASES:
        if name in KERNELS and (not asked.only or name in asked.only):
            measure(name, models, options, int(asked.millions * 1e6) // ROW * ROW, asked.runs)


if __name__ == "__main__":
    main()
