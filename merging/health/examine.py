"""The health of a folder: everything that can be looked at, in the order of what it costs."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from merging.checkpoints.checkpoint import Checkpoint
from merging.health import files, report, weights
from merging.health.report import Health, ordered
from merging.health.tally import Numbers
from merging.health.template import check_template

Event = dict[str, Any]


def of_merge(folder: Path, tensors: Mapping[str, Numbers], reference: str) -> Health:
    """The report of a merge that has just been written, from what was counted on the way.

    Args:
        folder: complete but for this report.
        tensors: numbers per tensor; the stream has refused what is not finite.
        reference: what the norms are relative to.

    Raises:
        ModelError: the folder cannot be read.
    """
    with Checkpoint.open(folder) as checkpoint:
        found = weights.checks(tensors, reference=reference, dtype=checkpoint.dtype, wrong={})
        found += [*files.checks(checkpoint), check_template(folder)]
    return Health(ordered(found), dict(sorted_like(tensors, checkpoint)), reference)


def examine(
    folder: str | Path,
    *,
    label: str | None = None,
    reference: Checkpoint | None = None,
    generate: bool = True,
    load: bool = True,
    device: str = "auto",
    threads: int = 1,
) -> Generator[Event, None, Health]:
    """Look at any model's folder.

    Args:
        folder: with safetensors.
        label: what to call it.
        reference: the opened base or first parent, for the ratios of the norms.
        generate: whether it is loaded and asked to say something.
        load: whether transformers is asked what the architecture expects.
        device: where it is loaded.
        threads: tensors read at the same time.

    Yields:
        Events; the last is the result, with the report as `health`.

    Raises:
        ModelError: no such folder, or weights that cannot be read.
    """
    folder = Path(folder)
    before = report.read(folder)
    wrong: dict[str, int] = {}
    tensors: dict[str, Numbers] = {}
    with Checkpoint.open(folder, label=label) as checkpoint:
        yield {"kind": "stage", "stage": "Reading the weights"}
        total = sum(info.is_float for info in checkpoint.tensors.values())
        for name, numbers, bad in weights.scan(checkpoint, reference, threads=threads):
            tensors[name], wrong[name] = numbers, bad
            yield {"kind": "progress", "stage": "Reading the weights", "done": len(tensors),
                   "total": total, "unit": "tensors"}  # fmt: skip
        name = reference.label if reference else ""
        same = before is not None and _same(before.tensors, tensors)
        if before is not None and same and not any(wrong.values()):
            # the weights are those that were merged: what was counted then is still true
            tensors, name = dict(before.tensors), before.reference
        found = weights.checks(tensors, reference=name, dtype=checkpoint.dtype, wrong=wrong)
        found += [*files.checks(checkpoint), check_template(folder)]
    reply = ""
    if load:
        from merging.health.loading import try_model

        yield {"kind": "stage", "stage": "Trying the model" if generate else "Loading the model"}
        tried = try_model(folder, generate=generate, device=device)
        found += tried.checks
        reply = tried.reply
    if before is not None and same and not (load and generate):
        found += [check for check in before.checks if check.title == "Generation"]
        reply = before.reply
    health = Health(ordered(found), tensors, name, reply)
    yield {"kind": "result", "health": health.data(), "state": health.state}
    return health


def sorted_like(tensors: Mapping[str, Numbers], checkpoint: Checkpoint) -> dict[str, Numbers]:
    """In the order of the checkpoint; tensors are finished in another one."""
    return {name: tensors[name] for name in checkpoint.in_files if name in tensors}


def _same(before: Mapping[str, Numbers], now: Mapping[str, Numbers]) -> bool:
    """Whether every tensor still has the norm it had, but for the order of addition.

    The norms of then are of the values before they were rounded, so half of bfloat16's last digit
    has to do.
    """
    return before.keys() == now.keys() and all(
        abs(before[name].norm - one.norm) <= 4e-3 * max(one.norm, before[name].norm)
        for name, one in now.items()
    )
