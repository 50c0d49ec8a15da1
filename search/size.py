"""How far a merge is from its base: |merge - base| / |base| over all weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merging.formats.bases import open_model

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 1 << 22  # elements


class Distance:
    """Measures models in memory against one base, read from its files piece by piece.

    Args:
        base: its reference.
        folders: reference -> folder.
    """

    def __init__(self, base: str, folders: Mapping[str, Path]) -> None:
        self.base = base
        self.folders = folders

    def of(self, weights: Mapping[str, Tensor]) -> float:
        """The relative distance, by the Euclidean norm in float64.

        A tensor that the base has under several names counts once. Where a merge has more rows
        (added tokens), the rows that both have are compared.

        Args:
            weights: name -> tensor of the model, as its state dict has them.
        """
        import numpy as np

        apart = whole = 0.0
        with open_model(self.base, self.folders) as base:
            for name, info in base.tensors.items():
                mine = weights.get(name)
                if mine is None or not info.is_float:
                    continue
                flat = mine.detach().reshape(-1)
                n = min(info.n_elements, flat.numel())
                for start in range(0, n, CHUNK):
                    stop = min(n, start + CHUNK)
                    theirs = np.empty(stop - start, dtype=np.float32)
                    base.values_into(name, start, stop, theirs)
                    ours: Any = flat[start:stop].float().cpu().numpy()
                    apart += float(np.square(ours - theirs, dtype=np.float64).sum())
                    whole += float(np.square(theirs, dtype=np.float64).sum())
        return math.sqrt(apart / whole) if whole else 0.0
