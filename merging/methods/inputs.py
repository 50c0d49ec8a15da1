"""What a method is given: chunks of tensors, random numbers, and a view of the whole tensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from merging.methods.draws import Draws

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Inputs:
    """One chunk of one tensor, the same elements of every model.

    Attributes:
        models: K tensors `[n]` float32, the constituents' weights theta_i.
        base_or_none: `[n]` float32, theta_0, when the method uses a base.
        weights: K coefficients w_i.
        draws: random numbers for these elements.
        row_length: size of the tensor's last dimension. For methods that ask for it a chunk
            consists of whole rows.
        shape: the tensor's shape. For methods that ask for it the chunk is the whole tensor.
        name: of the tensor.
        statistics: what `Method.observe` returned for the whole tensor.
    """

    models: Sequence[Tensor]
    base_or_none: Tensor | None
    weights: Sequence[float]
    draws: Draws
    row_length: int = 1
    statistics: Any = None
    shape: tuple[int, ...] = ()
    name: str = ""

    @property
    def start(self) -> int:
        """Place of the first element in the tensor."""
        return self.draws.start

    @property
    def base(self) -> Tensor:
        """`[n]` float32, theta_0; only for methods that require a base."""
        if self.base_or_none is None:
            raise ValueError("this method needs a base")
        return self.base_or_none

    @cached_property
    def deltas(self) -> list[Tensor]:
        """K task vectors `[n]` float32, theta_i - theta_0."""
        return [model - self.base for model in self.models]

    @property
    def vectors(self) -> Sequence[Tensor]:
        """K tensors `[n]` float32: task vectors when there is a base, else the weights."""
        return self.models if self.base_or_none is None else self.deltas


class WholeTensor(Protocol):
    """A whole tensor for a statistics step: as many passes as it likes, in fixed-size blocks.

    Blocks do not depend on the engine's chunk size or thread count, so sums over them don't either.
    """

    @property
    def n_elements(self) -> int:
        """Elements of the tensor (of one model)."""

    @property
    def n_models(self) -> int:
        """Constituents besides the base."""

    def blocks(self) -> Iterator[Inputs]:
        """The tensor from its first element to its last, `BLOCK_ELEMENTS` at a time.

        For methods that work row by row it is the nearest number of whole rows, at least one; for
        those that work on a tensor as one piece it is that.
        """


def spans(n_elements: int, size: int, together: int = 1) -> Iterator[tuple[int, int]]:
    """(start, stop) of consecutive pieces of about `size` elements.

    Args:
        n_elements: of the tensor.
        size: of a piece.
        together: how many elements no piece may cut, `Method.together`.
    """
    step = max(size // together, 1) * together
    for start in range(0, n_elements, step):
        yield start, min(start + step, n_elements)


# a multiple of the rows that sums are made of; fits a core's cache
BLOCK_ELEMENTS = 1 << 18
