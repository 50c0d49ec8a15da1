"""A tensor of a parent as the stream reads it: stored bytes, or values computed on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from merging.checkpoints.checkpoint import Checkpoint


class View(Protocol):
    """What the stream asks of a tensor.

    Stored tensors are handed over as they lie on the disk, so that they are widened where they are
    merged (in a core's cache, or on a GPU). All others give finished float32 values.
    """

    @property
    def label(self) -> str:
        """What the user calls the model it belongs to."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its dimensions."""

    @property
    def stored(self) -> str | None:
        """The dtype of its bytes as safetensors spells it; None when its values are computed."""

    def read_into(self, start: int, stop: int, buffer: memoryview) -> None:
        """Put the stored bytes of the flat elements `start` to `stop` into `buffer`."""

    def values_into(self, start: int, stop: int, out: NDArray[np.float32]) -> None:
        """Put the values of the flat elements `start` to `stop` into `out` `[stop - start]`."""


@dataclass(frozen=True)
class TensorView:
    """A tensor as its parent has it.

    Attributes:
        parent: that holds it.
        name: its name there.
    """

    parent: Checkpoint
    name: str

    @property
    def label(self) -> str:
        """What the user calls the parent."""
        return self.parent.label

    @property
    def shape(self) -> tuple[int, ...]:
        """Its dimensions."""
        return self.parent.tensors[self.name].shape

    @property
    def stored(self) -> str | None:
        """The dtype of its bytes; None when the parent computes it."""
        return self.parent.stored(self.name)

    @property
    def place(self) -> tuple[int, int] | None:
        """See `Checkpoint.place`."""
        return self.parent.place(self.name)

    def read_into(self, start: int, stop: int, buffer: memoryview) -> None:
        """Put the stored bytes of the flat elements `start` to `stop` into `buffer`."""
        self.parent.read_into(self.name, start, stop, buffer)

    def values_into(self, start: int, stop: int, out: NDArray[np.float32]) -> None:
        """Put the values of the flat elements `start` to `stop` into `out` `[stop - start]`."""
        self.parent.values_into(self.name, start, stop, out)
