"""The devices of this machine that a merge can be computed on."""

from __future__ import annotations

import os
import shutil

from merging.errors import MergeFailure


def choose_devices(device: str) -> list[str]:
    """The torch devices for a wish: "auto" is every GPU there is, else the CPU.

    Raises:
        MergeFailure: there is no such device on this machine.
    """
    if device == "cpu" or (device == "auto" and not may_have_gpu()):
        return ["cpu"]
    import torch

    if device in ("auto", "cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count or device == "auto":
            return [f"cuda:{number}" for number in range(count)] or ["cpu"]
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise MergeFailure(
            f'There is no device "{device}" that torch can use here. Use "cpu" or "auto".'
        ) from None
    return [device]


def may_have_gpu() -> bool:
    """False where there is certainly none, found out without importing torch."""
    return os.path.exists("/dev/nvidiactl") or shutil.which("nvidia-smi") is not None
