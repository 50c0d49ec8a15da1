"""Which devices jobs run on: found without touching a GPU, which a forked child could not use."""

from __future__ import annotations

import os
import shutil
import subprocess

from db import settings


def devices() -> list[str]:
    """One slot for each GPU that may be used, or one for the CPU; of the cluster where one is set.

    Where nobody has looked at the cluster yet, it is taken to be like this machine.
    """
    if settings.ray_address():
        from jobs.cluster import places

        nodes = places.known()
        if nodes:
            return [f"cuda:{index}" for index in range(sum(node.gpus for node in nodes))] or ["cpu"]
    return local()


def own_slots() -> list[str]:
    """What a worker of this machine takes; on a cluster Ray says who has which GPU."""
    return ["ray"] if settings.ray_address() else local()


def local() -> list[str]:
    """One slot for each GPU of this machine that may be used, or one for its CPU."""
    return [f"cuda:{index}" for index in range(len(visible_gpus()))] or ["cpu"]


def visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES would name: every GPU, or those that the variable leaves."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        named = [part.strip() for part in os.environ["CUDA_VISIBLE_DEVICES"].split(",")]
        if not _gpus():
            return []
        return [part for part in named if part and part != "-1"]
    return _gpus()


def environment(device: str) -> dict[str, str]:
    """Variables that make a device of `devices()` the only one a child sees."""
    if not device.startswith("cuda:"):
        return {}
    gpus = visible_gpus()
    index = int(device.removeprefix("cuda:"))
    return {"CUDA_VISIBLE_DEVICES": gpus[index] if index < len(gpus) else str(index)}


def _gpus() -> list[str]:
    """Numbers of the GPUs that the driver's own tool lists."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        listed = subprocess.run(
            [tool, "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in listed.stdout.splitlines() if line.strip().isdigit()]
