"""What a merge does to every tensor, counted while it is merged: nothing is read a second time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from merging.streaming.program import Step


@dataclass
class Numbers:
    """One tensor of a result beside the same of its reference: the base, else the first parent.

    Attributes:
        elements: of the tensor.
        squares: sum of squares of the merged values.
        reference: of the reference's.
        changed: entries that differ from the base in float32; None without a base.
        lost: those of them that the output's dtype rounds to what the base is rounded to.
    """

    elements: int
    squares: float = 0.0
    reference: float = 0.0
    changed: float | None = None
    lost: float | None = None

    @property
    def norm(self) -> float:
        """Euclidean norm."""
        return float(self.squares**0.5)

    @property
    def ratio(self) -> float | None:
        """Norm relative to the reference's; None where that is zero."""
        return float((self.squares / self.reference) ** 0.5) if self.reference > 0 else None


@dataclass
class Tally:
    """The numbers of all tensors of one merge; one thread at a time works on a tensor.

    Attributes:
        tensors: by name.
    """

    tensors: dict[str, Numbers] = field(default_factory=dict)

    def add(
        self,
        step: Step,
        merged: NDArray[np.float32],
        reference: NDArray[np.float32],
        stored: memoryview,
    ) -> None:
        """Count one chunk on the CPU.

        Args:
            step: of the tensor.
            merged: `[n]` float32 as computed.
            reference: `[n]` float32 of the base, else of the first model.
            stored: bytes of the merged values in the output's dtype.
        """
        import numpy as np

        from merging.health import kernels

        sums = self.sums()
        merged = np.ascontiguousarray(merged)
        kernels.add_norms(merged, reference, sums)
        if step.base is not None:
            dtype = step.output.dtype
            if dtype == "BF16":
                kernels.add_lost_bf16(merged, reference, sums)
            elif dtype == "F16":
                from merging.kernels.convert import narrow

                base = np.empty(merged.size, np.uint16)
                narrow(reference, dtype, base)
                kernels.add_lost(merged, reference, np.frombuffer(stored, np.uint16).copy(), base,
                                 sums)  # fmt: skip
            else:  # nothing is rounded
                sums[kernels.CHANGED] = np.count_nonzero(merged != reference)
        self.put(step, sums)

    def add_on_device(self, step: Step, merged: Tensor, reference: Tensor, stored: Tensor) -> None:
        """The same on a torch device."""
        import torch

        sums = [one.square().sum(dtype=torch.float64) for one in (merged, reference)]
        if step.base is not None:
            changed = merged != reference
            same = stored == reference.to(stored.dtype)
            sums += [changed.sum(dtype=torch.float64), (changed & same).sum(dtype=torch.float64)]
        self._put(step, torch.stack(sums).tolist())

    def sums(self) -> NDArray[np.float64]:
        """`[4]`, zeros, for what kernels count of a chunk."""
        import numpy as np

        return np.zeros(4)

    def put(self, step: Step, sums: NDArray[np.float64]) -> None:
        """Add what a kernel has counted of a chunk."""
        self._put(step, sums.tolist())

    def _put(self, step: Step, sums: list[Any]) -> None:
        numbers = self.tensors.get(step.name)
        if numbers is None:
            numbers = self.tensors[step.name] = Numbers(step.output.n_elements)
            if step.base is not None:
                numbers.changed = numbers.lost = 0.0
        numbers.squares += sums[0]
        numbers.reference += sums[1]
        if numbers.changed is not None and numbers.lost is not None:
            numbers.changed += sums[2]
            numbers.lost += sums[3]
