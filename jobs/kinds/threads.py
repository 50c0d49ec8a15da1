"""How many CPU threads a job uses."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

CHUNK_ELEMENTS = 1 << 17  # in memory at a time, per parent, of a merge that memory ran out for
SMALL_BYTES = 50_000_000  # below this, threads wait for each other longer than they compute


def use_threads(folders: Iterable[Path]) -> int:
    """Set torch's threads for models of this size, and return their number."""
    import torch

    threads = threads_for(folders)
    torch.set_num_threads(threads)
    return threads


def threads_for(folders: Iterable[Path]) -> int:
    """The number of threads for models of this size."""
    allowed = int(os.environ.get("CRUCIBLE_THREADS") or os.cpu_count() or 1)
    return 1 if are_small(folders) else allowed


def room(spec: Mapping[str, Any], folders: Iterable[Path]) -> dict[str, Any]:
    """How much a merge has in memory at a time: less where it has run out before.

    Args:
        spec: of the job; `halvings` says how often memory has run out.
        folders: of the parents.
    """
    halvings = int(spec.get("halvings", 0))
    if not halvings:
        return {"threads": threads_for(folders)}
    return {"threads": 1, "chunk_elements": CHUNK_ELEMENTS >> halvings}


def are_small(folders: Iterable[Path]) -> bool:
    """Whether the weights in these folders are next to nothing, as the sandbox's are."""
    files = (file for folder in folders for file in folder.glob("*.safetensors"))
    return sum(file.stat().st_size for file in files) < SMALL_BYTES
