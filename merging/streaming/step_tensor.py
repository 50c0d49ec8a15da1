"""What one step's tensor is to a method, on whatever device it is read to."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from merging.methods.draws import Draws
from merging.methods.inputs import Inputs, spans
from merging.streaming.program import Step

if TYPE_CHECKING:
    from torch import Tensor


class StepTensor:
    """The geometry of one step's tensor, and how its elements are handed to a torch definition.

    Args:
        step: what to merge.
        stop: once set, reading raises.
    """

    def __init__(self, step: Step, stop: threading.Event) -> None:
        self._step = step
        self._stop = stop
        self.shape = step.output.shape
        self.n_elements = step.output.n_elements
        self.n_models = len(step.models)
        self.weights = step.weights
        self.row_length = self.shape[-1] if self.shape else 1

    def spans(self, size: int) -> Iterator[tuple[int, int]]:
        """(start, stop) of pieces of about `size` elements, as the method may be given them."""
        method = self._step.method
        return spans(self.n_elements, size, method.together(self.shape) if method else 1)

    def _require_going(self) -> None:
        """Raise when the merge has been stopped."""
        if self._stop.is_set():
            raise CancelledError

    def _inputs(
        self,
        models: Sequence[Tensor],
        base: Tensor | None,
        span: tuple[int, int],
        statistics: Any,
    ) -> Inputs:
        """The elements of a span, read already, as a method takes them."""
        start, stop = span
        return Inputs(
            models=models,
            base_or_none=base,
            weights=self.weights,
            draws=Draws(self._step.keys, start, stop - start),
            row_length=self.row_length,
            shape=self.shape,
            name=self._step.name,
            statistics=statistics,
        )
