"""Merging again from parents that are resident on a device, against the device's copy bandwidth.

    python benchmarks/merge_gpu.py                             # 8 B shapes on the first GPU
    python benchmarks/merge_gpu.py --device cpu --layers 1     # a check that it runs, anywhere

Makes a base and experts of Llama-3 8 B's shapes on the device (bfloat16, random, small deltas), and
times a merge of all tensors by each method: the first one, with its statistics and compilation, and
the median of the next ones with another scale each. A merge of K experts must read K + 1 models and
write one; the share is that traffic in that time, divided by what a plain copy moves. The target
is half of the copy's bandwidth, and 60 ms for task arithmetic on an H200.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from merging.methods import get_method
from merging.methods.draws import key_of
from merging.output.layout import OutputTensor
from merging.recipes.checks import complete_options
from merging.resident import Resident
from merging.streaming.program import Step

HIDDEN, MLP, KV, VOCABULARY = 4096, 14336, 1024, 128_256
METHODS = ("task_arithmetic", "ties", "linear")


@dataclass(frozen=True, eq=False)
class Made:
    """A tensor that was made on the device: a view of no file."""

    name: str
    label: str
    shape: tuple[int, ...]
    tensor: torch.Tensor
    stored: str = "BF16"

    def read_into(self, start: int, stop: int, buffer: memoryview) -> None:
        """Not asked for: the tensor is there."""
        raise NotImplementedError

    def values_into(self, start: int, stop: int, out: Any) -> None:
        """Not asked for: the tensor is there."""
        raise NotImplementedError


class MadeParents(Resident):
    """Parents made where they are."""

    def __init__(self, steps: list[Step], device: str, fused: bool | None) -> None:
        super().__init__([], device, fused=fused)
        views = [view for step in steps for view in (*step.models, step.base) if view is not None]
        self._tensors = {view: view.tensor for view in views}
        for view in views:  # they are moved one behind the other: nothing may hold the old ones
            object.__setattr__(view, "tensor", None)
        self._line_up(steps)
        for view in views:
            object.__setattr__(view, "tensor", self._tensors[view])


def shapes(layers: int, narrow: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of Llama-3's tensors, every side divided by `narrow`."""
    hidden, mlp, kv, rows = (side // narrow for side in (HIDDEN, MLP, KV, VOCABULARY))
    yield "model.embed_tokens.weight", (rows, hidden)
    for layer in range(layers):
        at = f"model.layers.{layer}"
        yield f"{at}.self_attn.q_proj.weight", (hidden, hidden)
        yield f"{at}.self_attn.k_proj.weight", (kv, hidden)
        yield f"{at}.self_attn.v_proj.weight", (kv, hidden)
        yield f"{at}.self_attn.o_proj.weight", (hidden, hidden)
        yield f"{at}.mlp.gate_proj.weight", (mlp, hidden)
        yield f"{at}.mlp.up_proj.weight", (mlp, hidden)
        yield f"{at}.mlp.down_proj.weight", (hidden, mlp)
        yield f"{at}.input_layernorm.weight", (hidden,)
        yield f"{at}.post_attention_layernorm.weight", (hidden,)
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (rows, hidden)


def make(experts: int, layers: int, narrow: int, device: str) -> dict[str, list[Made]]:
    """Tensor name -> base and experts."""
    generator = torch.Generator(device).manual_seed(0)
    found: dict[str, list[Made]] = {}
    for name, shape in shapes(layers, narrow):
        n = math.prod(shape)
        base = torch.randn(n, generator=generator, device=device) * 0.02
        found[name] = [Made(name, "base", shape, base.bfloat16())]
        for i in range(experts):
            delta = torch.randn(n, generator=generator, device=device) * 1e-3
            found[name].append(Made(name, f"expert{i}", shape, (base + delta).bfloat16()))
    return found


def steps_of(method: str, made: dict[str, list[Made]], **options: Any) -> list[Step]:
    """The steps of a merge of all experts."""
    declared = get_method(method)
    complete = complete_options(declared, options)
    return [
        Step(
            name=name,
            output=OutputTensor("BF16", views[0].shape),
            method=declared,
            options=complete,
            base=views[0] if declared.needs_base == "required" else None,
            models=tuple(views[1:]),
            weights=(0.7,) * (len(views) - 1),
            keys=tuple(key_of(0, view.label, name) for view in views[1:]),
        )
        for name, views in made.items()
    ]


def seconds(work: Callable[[], Any], device: str) -> float:
    """How long until the device has done it."""
    synchronise(device)
    began = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - began


def synchronise(device: str) -> None:
    """Wait for the device."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def copy_bandwidth(made: dict[str, list[Made]], out: dict[str, torch.Tensor], device: str) -> float:
    """Bytes read and written per second by copying one model tensor by tensor."""

    def copy() -> None:
        for name, views in made.items():
            out[name].copy_(views[0].tensor)

    copy()
    moved = 2 * sum(one.numel() * one.element_size() for one in out.values())
    return moved / statistics.median(seconds(copy, device) for _ in range(7))


def main() -> None:
    """Make, merge, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--narrow", type=int, help="divide every side (default: 16 on the CPU)")
    parser.add_argument("--experts", type=int, default=2)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--plain", action="store_true", help="without fused kernels")
    given = parser.parse_args()
    narrow = given.narrow or (1 if given.device.startswith("cuda") else 16)
    made = make(given.experts, given.layers, narrow, given.device)
    out = {name: torch.empty_like(views[0].tensor) for name, views in made.items()}
    model_bytes = sum(one.numel() * one.element_size() for one in out.values())
    bandwidth = copy_bandwidth(made, out, given.device)
    name = torch.cuda.get_device_name(given.device) if given.device != "cpu" else "CPU"
    print(f"{name}, {model_bytes / 2e6:,.0f} M parameters, {given.experts} experts; "
          f"copying moves {bandwidth / 1e9:.0f} GB/s", flush=True)  # fmt: skip
    del out
    for method in given.methods.split(","):
        steps = steps_of(method, made)
        resident = out = None  # the last method's room comes free
        resident = MadeParents(steps, given.device, False if given.plain else None)
        out = resident.room(steps)
        scaled = "scale" in get_method(method).options.model_fields

        def once(number: int, method: str = method, scaled: bool = scaled,
                 resident: Resident = resident, out: Any = out) -> None:  # fmt: skip
            options = {"scale": 1.0 - number / 100} if scaled else {}
            resident.merge(steps_of(method, made, **options), out)

        first = seconds(lambda: once(0), given.device)
        times = [seconds(lambda i=i: once(i), given.device) for i in range(1, given.runs + 1)]
        typical = statistics.median(times)
        reads = given.experts + (get_method(method).needs_base == "required")
        share = (reads + 1) * model_bytes / typical / bandwidth
        print(f"{method:<16} first {first:6.2f} s, again {1000 * typical:8.1f} ms "
              f"({1000 * min(times):.1f} to {1000 * max(times):.1f}), "
              f"{share:.0%} of the copy bandwidth", flush=True)  # fmt: skip
        if given.device.startswith("cuda"):
            peak = torch.cuda.max_memory_allocated(given.device) / 1e9
            print(f"{'':<16} peak device memory {peak:.1f} GB", flush=True)


if __name__ == "__main__":
    main()
