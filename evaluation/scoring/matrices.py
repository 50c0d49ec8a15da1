"""Linear layers in the form in which this processor multiplies them fastest.

On a CPU, oneDNN multiplies by a weight that was put in its own order beforehand a fifth to a half
faster than by one as it lies in the checkpoint, and several layers that read the same states are
one product. Elsewhere, and where the copies would take too much memory, layers stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import Linear
from torch.nn.functional import linear

_ROWS = 64  # of states, for which oneDNN chooses the order; it is good for other numbers too
_MOST_BYTES = 256 << 20  # of copies


def may_reorder(layers: Sequence[Linear]) -> bool:
    """Whether copies of these layers, all those of a model, are worth their memory."""
    weights = [layer.weight for layer in layers]
    return (
        all(w.device.type == "cpu" and w.dtype == torch.float32 for w in weights)
        and sum(w.nbytes for w in weights) <= _MOST_BYTES
        and torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


class Matrices:
    """Linear layers that read the same states.

    Args:
        layers: their weights have the same number of columns.
        reorder: keep a copy in oneDNN's order (``may_reorder`` says where that is possible).
    """

    def __init__(self, layers: Sequence[Linear], *, reorder: bool) -> None:
        self.layers = list(layers)
        self.sizes = [layer.weight.shape[0] for layer in layers]
        self._weight: torch.Tensor | None = None
        self._bias: torch.Tensor | None = None
        if reorder:
            whole = torch.cat([layer.weight.detach() for layer in layers])
            self._weight = torch.ops.mkldnn._reorder_linear_weight(whole, _ROWS)
            biases: list[torch.Tensor | None] = [layer.bias for layer in layers]
            if any(bias is not None for bias in biases):
                self._bias = torch.cat(
                    [
                        whole.new_zeros(size) if bias is None else bias.detach()
                        for bias, size in zip(biases, self.sizes, strict=True)
                    ]
                )

    def __call__(self, states: torch.Tensor) -> list[torch.Tensor]:
        """The layers' outputs, shape (n, size) each, for states of shape (n, columns)."""
        if self._weight is None:
            return [linear(states, layer.weight, layer.bias) for layer in self.layers]
        whole = torch.ops.mkldnn._linear_pointwise(
            states.contiguous(), self._weight, self._bias, "none", [], ""
        )
        return list(whole.split(self.sizes, dim=-1)) if len(self.sizes) > 1 else [whole]
