"""What a merge takes of this machine: memory, disk, time; and what is free."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from merging.checkpoints.parents import Parents
from merging.kernels import KERNELS
from merging.methods.inputs import BLOCK_ELEMENTS
from merging.output.layout import OutputTensor
from merging.planning.checks import Check
from merging.streaming.buffers import Buffers
from merging.streaming.on_cpu import KERNEL_ELEMENTS
from merging.streaming.on_device import DEVICE_ELEMENTS, bytes_on_device
from merging.wording import size

# Python before any tensor: with the kernels alone, and with torch
KERNELS_BYTES = 190_000_000
TORCH_BYTES = 400_000_000
# one core, seconds per element of the result and per constituent besides reading and writing, as
# measured on bfloat16 models of 200 million parameters
SECONDS_PER_ELEMENT: Mapping[str, float] = {
    "linear": 0.4e-9,
    "passthrough": 0.4e-9,
    "task_arithmetic": 0.5e-9,
    "instruction_residual": 0.5e-9,
    "slerp": 0.8e-9,
    "nuslerp": 1.5e-9,
    "multislerp": 1.5e-9,
    "karcher": 1.2e-9,
    "model_stock": 2e-9,
    "ties": 2e-9,
    "dare_linear": 1.2e-9,
    "dare_ties": 1.4e-9,
    "della": 5e-9,
    "della_linear": 5e-9,
    "breadcrumbs": 2e-9,
    "breadcrumbs_ties": 2.2e-9,
    "sce": 30e-9,
    "arcee_fusion": 40e-9,
    "pcb": 60e-9,
    "widen": 6e-9,
}
# the same for methods that decompose matrices, for each element of the shorter side besides
SECONDS_PER_ELEMENT_AND_SIDE: Mapping[str, float] = {"tsv_m": 0.55e-9, "iso_c": 0.15e-9}
SECONDS_PER_BYTE = 1.0e-9  # read from the disk, hashed, and read again from memory
SECONDS_PER_BYTE_WRITTEN = 1.0e-9  # and forced to the disk


@dataclass(frozen=True)
class Needs:
    """What the merge takes and what is free; None where it does not apply."""

    ram_bytes: int
    ram_free_bytes: int
    vram_bytes: int | None
    vram_free_bytes: int | None
    disk_bytes: int | None
    disk_free_bytes: int | None
    seconds: float


def estimate(
    parents: Parents, outputs: Sequence[OutputTensor], out: Path | None, device: str
) -> Needs:
    """What merging these parents takes.

    Args:
        parents: opened parents.
        outputs: the tensors of the result.
        out: the output folder, or None for a merge into memory.
        device: "cpu", "cuda" ... (resolved).
    """
    result = sum(output.n_bytes for output in outputs)
    on_gpu = device.startswith("cuda")
    in_memory = result if out is None else 0
    working = 0 if on_gpu else _working_bytes(parents, outputs)
    on_device = bytes_on_device(len(parents.by_ref), _largest(parents, outputs, DEVICE_ELEMENTS))
    # whole tensors side by side, one for each core
    parallel = 10 if on_gpu else os.cpu_count() or 1
    computing = _computing_seconds(parents, outputs) / parallel
    writing = 0.0 if out is None else result * SECONDS_PER_BYTE_WRITTEN
    baseline = TORCH_BYTES if on_gpu or not _has_kernel(parents) else KERNELS_BYTES
    read = sum(one.size_bytes for one in parents.by_ref.values())
    return Needs(
        ram_bytes=baseline + working + (0 if on_gpu else in_memory),
        ram_free_bytes=_free_ram(),
        vram_bytes=on_device + in_memory if on_gpu else None,
        vram_free_bytes=_free_vram(device) if on_gpu else None,
        disk_bytes=None if out is None else result + 20_000_000,
        disk_free_bytes=None if out is None else _free_disk(out),
        seconds=1.0 + computing + read * SECONDS_PER_BYTE + writing,
    )


def _computing_seconds(parents: Parents, outputs: Sequence[OutputTensor]) -> float:
    """What the method itself takes of one core."""
    method = parents.recipe.method
    per_element = SECONDS_PER_ELEMENT.get(method, 5e-9)
    per_side = SECONDS_PER_ELEMENT_AND_SIDE.get(method, 0.0)
    sides = ((one, min(one.shape[-2:]) if len(one.shape) > 1 else 0) for one in outputs)
    once = sum(one.n_elements * (per_element + per_side * side) for one, side in sides)
    return once * len(parents.constituents)


def _working_bytes(parents: Parents, outputs: Sequence[OutputTensor]) -> int:
    """Memory of the chunks of all threads on the CPU."""
    size = KERNEL_ELEMENTS if _has_kernel(parents) else BLOCK_ELEMENTS
    largest = _largest(parents, outputs, size)
    # per parent the stored chunk, its float32 form and a task vector; and a few for the result
    per_element = 10 * (len(parents.constituents) + 1) + 24
    # torch's definitions hold twice that in between
    per_element *= 1 if _has_kernel(parents) else 2
    threads = os.cpu_count() or 1
    working = largest * per_element * threads
    if _has_kernel(parents) and parents.recipe.merge_method.statistics is not None:
        # what is kept of a tensor's parents from its first pass to the next
        whole = _largest(parents, outputs, 1 << 62) * (len(parents.constituents) + 1) * 2
        working += min(whole, Buffers(threads).kept_bytes) * threads
    return working


def _has_kernel(parents: Parents) -> bool:
    return parents.recipe.merge_method.name in KERNELS


def _largest(parents: Parents, outputs: Sequence[OutputTensor], size: int) -> int:
    """Elements of the largest chunk, where chunks are of about `size` elements."""
    together = parents.recipe.merge_method.together
    return max((min(one.n_elements, max(size, together(one.shape))) for one in outputs), default=0)


def check_fit(needs: Needs) -> list[Check]:
    """Whether it fits: bad only where it certainly does not."""
    found = []
    for title, wanted, free, fix in (
        ("Memory", needs.ram_bytes, needs.ram_free_bytes, "Close other programs."),
        ("GPU memory", needs.vram_bytes, needs.vram_free_bytes, "Use the CPU for this merge."),
        ("Disk", needs.disk_bytes, needs.disk_free_bytes, "Free some space or use another disk."),
    ):
        if wanted is None or free is None:
            continue
        detail = f"Needs {size(wanted)}, {size(free)} are free."
        if wanted > free:
            # memory can be freed by the system while we go; a disk cannot
            state = "warn" if title == "Memory" and wanted < 2 * free else "bad"
            found.append(Check(title, "bad" if state == "bad" else "warn", detail, fix))
        elif wanted > 0.9 * free:
            found.append(Check(title, "warn", detail, fix))
        else:
            found.append(Check(title, "ok", detail))
    return found


def _free_ram() -> int:
    import psutil

    return int(psutil.virtual_memory().available)


def _free_vram(device: str) -> int | None:
    import torch

    if not torch.cuda.is_available():
        return None
    return int(torch.cuda.mem_get_info(torch.device(device))[0])


def _free_disk(out: Path) -> int:
    place = out.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free
