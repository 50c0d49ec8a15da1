"""What a kernel is given: chunks of float32 rows, and a view of the whole tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# stands for "no base" in kernels, which have one type for it and a real one
NOTHING: Mapping[Any, NDArray[Any]] = {
    kind: np.empty(0, dtype=kind) for kind in (np.dtype(np.float32), np.dtype(np.uint16))
}


@dataclass(frozen=True)
class Chunk:
    """The same consecutive elements of one tensor of every model; everything finite.

    Attributes:
        models: `[K, n]` float32, or the bits of bfloat16 in uint16; C-contiguous (a shorter chunk
            is the start of a flat buffer in another shape, not a part of each row): the
            constituents' weights theta_i.
        base: `[n]` of the same, theta_0, or None when the recipe has none.
        weights: K coefficients w_i.
        keys: K keys of random draws (`merging.methods.draws.key_of`), 64 bits each.
        start: flat index of the first element in the tensor.
        row_length: size of the tensor's last dimension.
        out: `[n]` float32, which `merge` fills; unused by `observe`.
    """

    models: NDArray[Any]
    base: NDArray[Any] | None
    weights: Sequence[float]
    keys: Sequence[int]
    start: int
    row_length: int
    out: NDArray[np.float32]

    def __post_init__(self) -> None:
        # kernels do not look where an array ends
        sizes = {self.models.shape[1], self.out.size}
        if self.base is not None:
            sizes.add(self.base.size)
            if self.base.dtype != self.models.dtype:
                raise ValueError("the parts of a chunk differ in type")
        if len(sizes) > 1 or not self.models.shape[0] == len(self.weights) == len(self.keys):
            raise ValueError("the parts of a chunk differ in size")

    @property
    def origin(self) -> NDArray[Any]:
        """`[n]`, theta_0, or an empty array: how kernels take the base."""
        return NOTHING[self.models.dtype] if self.base is None else self.base

    @property
    def n_elements(self) -> int:
        """Elements of the chunk (of one model)."""
        return int(self.models.shape[1])


class Whole(Protocol):
    """A whole tensor for a statistics step: as many passes as it likes."""

    @property
    def n_elements(self) -> int:
        """Elements of the tensor (of one model)."""

    @property
    def n_models(self) -> int:
        """Constituents besides the base."""

    @property
    def row_length(self) -> int:
        """Size of the last dimension."""

    @property
    def weights(self) -> Sequence[float]:
        """K coefficients w_i."""

    def chunks(self) -> Iterator[Chunk]:
        """The tensor from its first element to its last; whole rows for methods by rows.

        A chunk's arrays may be those of the chunk before, filled anew.
        """

    def piece(self, start: int, stop: int) -> Chunk:
        """Elements `start` to `stop`, anywhere, for samples; may be filled anew as `chunks`."""


def nothing(whole: Whole, **options: Any) -> None:
    """The statistics step of a method that needs none."""


def everything(options: Mapping[str, Any]) -> bool:
    """A method all of whose options a kernel serves."""
    return True


@dataclass(frozen=True)
class Kernel:
    """A merge method on the CPU; it gives the float32 bits of the method's torch function.

    Attributes:
        merge: `(chunk, statistics, **options) -> None`, fills `chunk.out`.
        observe: `(whole, **options) -> statistics`, what `merge` must know of the whole tensor.
        serves: whether the kernel knows these options; otherwise the torch function has to do.
    """

    merge: Callable[..., None]
    observe: Callable[..., Any] = nothing
    serves: Callable[[Mapping[str, Any]], bool] = everything
