"""A whole tensor in memory, as the methods' statistics see it, and a merge of it in one call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from merging.methods import get_method
from merging.methods.draws import Draws, key_of
from merging.methods.inputs import Inputs, spans
from merging.recipes.checks import complete_options


class InMemory:
    """A `WholeTensor` over flat float32 tensors, in blocks of any size."""

    def __init__(
        self,
        base: torch.Tensor | None,
        models: Sequence[torch.Tensor],
        weights: Sequence[float],
        block: int = 1 << 20,
        keys: Sequence[int] | None = None,
        method: str | None = None,
        name: str = "t",
    ) -> None:
        self._base = None if base is None else base.flatten().float()
        self._models = [model.flatten().float() for model in models]
        self._weights = weights
        self._block = block
        self._keys = keys or [key_of(0, f"model{i}", "t") for i in range(len(models))]
        self.n_elements = models[0].numel()
        self.n_models = len(models)
        self._name = name
        self.shape = tuple(models[0].shape)
        self.row_length = models[0].shape[-1] if models[0].dim() else 1
        self._together = get_method(method).together(self.shape) if method else 1

    def blocks(self) -> Iterator[Inputs]:
        for start, stop in self.spans(self._block):
            yield self.inputs(start, stop)

    def spans(self, size: int) -> Iterator[tuple[int, int]]:
        return spans(self.n_elements, size, self._together)

    def inputs(self, start: int, stop: int, statistics: Any = None) -> Inputs:
        return Inputs(
            models=[model[start:stop] for model in self._models],
            base_or_none=None if self._base is None else self._base[start:stop],
            weights=self._weights,
            draws=Draws(self._keys, start, stop - start),
            row_length=self.row_length,
            statistics=statistics,
            shape=self.shape,
            name=self._name,
        )


def merge(
    name: str,
    base: torch.Tensor | None,
    models: Sequence[torch.Tensor],
    weights: Sequence[float] | None = None,
    *,
    chunk: int | None = None,
    block: int = 1 << 20,
    keys: Sequence[int] | None = None,
    tensor: str = "t",
    **options: Any,
) -> torch.Tensor:
    """Merge one tensor by a method, in chunks; float32 out, in the models' shape."""
    method = get_method(name)
    # what every model has a value of its own for, a recipe resolves before the method sees it
    several = {key: value for key, value in options.items() if isinstance(value, list | tuple)}
    single = {key: value for key, value in options.items() if key not in several}
    complete = complete_options(method, single) | several
    weights = weights or [1.0] * len(models)
    whole = InMemory(base, models, weights, block, keys, name, tensor)
    statistics = method.observe(whole, complete)
    parts = [
        method.apply(whole.inputs(start, stop, statistics), complete)
        for start, stop in whole.spans(chunk or whole.n_elements)
    ]
    return torch.cat(parts).view(models[0].shape)
