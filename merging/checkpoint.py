"""Lazy reading of safetensors checkpoints (being written: signatures are final)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


class Checkpoint:
    """A checkpoint folder, opened by its headers: .tensors .config .n_parameters .size_bytes .dtype."""

    tensors: dict[str, Any]  # name -> TensorInfo(dtype, shape, shard, start, stop)
    config: dict[str, Any]
    n_parameters: int
    size_bytes: int
    dtype: str

    @classmethod
    def open(cls, folder: str | Path) -> Checkpoint:
        """Read and check headers and config; ModelError when something is wrong."""
        raise NotImplementedError

    def read(self, name: str) -> Tensor:
        """One tensor."""
        raise NotImplementedError
