"""How many processes merge and score at a time, for a study's points or a search's trials."""

from __future__ import annotations

import os
from collections.abc import Iterable

from db import settings
from db.queries.models import ModelRow
from jobs import devices
from jobs.cluster import places
from studies.cost import MOST_LANES, SMALL_PARAMETERS


def lanes(rows: Iterable[ModelRow], most: int, device: str = "auto") -> tuple[int, bool]:
    """How many lanes there are, and whether each of them takes a single core.

    A model below some 20 M parameters is scored fastest by one thread: a lane for each core. A
    larger one takes all cores itself, and each GPU serves one lane. On a cluster all of its nodes
    count.

    Args:
        rows: the models that are merged.
        most: merges that can be made at the same time.
        device: "auto", "cpu" or "cuda".
    """
    sizes = [row.n_parameters for row in rows]
    small = all(size is not None and size < SMALL_PARAMETERS for size in sizes)
    nodes = places.looked_up() if settings.ray_address() else []
    if nodes:
        return places.lanes(nodes, small=small, most=most)
    gpus = devices.devices()
    if device != "cpu" and gpus != ["cpu"]:
        return min(len(gpus), MOST_LANES), False
    cores = min(os.cpu_count() or 1, MOST_LANES, most)
    return (cores, True) if small and cores > 1 else (1, small)
