"""Merging again and again from parents that stay on a device: what a slider under a chat asks for.

The stream (`streaming.on_device`) is bound by reading and copying. Here every parent lies on the
device as it is stored, statistics (TIES' thresholds, say) are kept until an option changes that
they depend on, and where torch can compile, a tensor is widened, merged and narrowed by one fused
kernel, so that the weights go through the chip once. Fused kernels may differ from the stream in
the last place; without them the bits are the same.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from merging.checkpoints.stored import torch_dtype
from merging.methods.draws import Draws
from merging.methods.inputs import Inputs, spans
from merging.output.layout import OutputTensor

if TYPE_CHECKING:
    from torch import Tensor

    from merging.checkpoints.views import View
    from merging.methods import Method
    from merging.streaming.program import Step

# without fused kernels: elements at a time, so that what is computed in between stays small
PIECE_ELEMENTS = 1 << 24
# inputs that are the same for every element, or come element by element
FUSIBLE = frozenset(
    {"base", "base_or_none", "models", "deltas", "vectors", "weights", "statistics"}
)


class Resident:
    """The parents of a program on one device.

    Args:
        steps: whose views are loaded; later ones may have other methods, options and weights.
        device: torch device.
        fused: whether torch compiles the methods; by default on CUDA, where triton is at hand.

    Raises:
        ModelError: a parent that cannot be read.
    """

    def __init__(self, steps: Sequence[Step], device: str, *, fused: bool | None = None) -> None:
        import torch

        self.device = torch.device(device)
        self.fused = _can_compile(device) if fused is None else fused
        self._tensors: dict[View, Tensor] = {}
        self._statistics: dict[Any, Any] = {}
        self._compiled: dict[str, Callable[..., None]] = {}
        self._order: tuple[tuple[View, ...], ...] = ()
        self._columns: tuple[_Column, ...] = ()
        self._arena: Tensor | None = None
        for step in steps:
            for view in _views(step):
                if view not in self._tensors:
                    self._tensors[view] = _load(view, self.device)
        self._line_up(steps)

    @property
    def n_bytes(self) -> int:
        """Memory of the parents on the device."""
        found = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes()
                 for one in self._tensors.values()}  # fmt: skip
        return sum(found.values())

    def merge(self, steps: Sequence[Step], outputs: Mapping[str, Tensor]) -> None:
        """Merge every tensor into `outputs`, in place; on CUDA it returns before it is done.

        Args:
            steps: of the same parents.
            outputs: contiguous tensors of the steps' dtypes and shapes on the device.
        """
        joined = self._joined(steps, outputs)
        if joined is not None and self._arena is not None:
            steps, outputs = [joined], {joined.name: self._arena}
        for step in steps:
            out = outputs[step.name].view(-1)
            if step.method is None:
                out.copy_(self._tensors[step.models[0]])
                continue
            whole = _Whole(step, self._tensors)
            statistics = self._observe(step, whole)
            if self.fused and FUSIBLE.issuperset(step.method.takes):
                fused = self._fuse(step.method)
                fused(*whole.stored(), step.weights, statistics, dict(step.options), out)
                continue
            for start, stop in whole.spans(PIECE_ELEMENTS):
                merged = step.method.apply(whole.inputs(start, stop, statistics), step.options)
                out[start:stop] = merged.to(out.dtype)

    def room(self, steps: Sequence[Step]) -> dict[str, Tensor]:
        """Tensors for the result, one behind the other: merging into them may take one kernel."""
        import torch

        dtypes = {step.output.dtype for step in steps}
        if len(dtypes) > 1 or self._order != tuple(map(_views, steps)):
            return {
                step.name: torch.empty(
                    step.output.shape, dtype=torch_dtype(step.output.dtype), device=self.device
                )
                for step in steps
            }
        total = sum(step.output.n_elements for step in steps)
        self._arena = torch.empty(total, dtype=torch_dtype(dtypes.pop()), device=self.device)
        parts = self._arena.split([step.output.n_elements for step in steps])
        return {
            step.name: part.view(step.output.shape) for step, part in zip(steps, parts, strict=True)
        }

    def _line_up(self, steps: Sequence[Step]) -> None:
        """Lay each parent's tensors one behind the other, where all have the same tensors."""
        import torch

        order = tuple(map(_views, steps))
        views = [view for row in order for view in row]
        same = len({len(row) for row in order}) == 1 and len(set(views)) == len(views)
        if not same or any(step.method is None for step in steps):
            return
        columns = list(zip(*order, strict=True))
        if any(len({self._tensors[view].dtype for view in column}) > 1 for column in columns):
            return
        self._order = order
        for number, column in enumerate(columns):
            sizes = [self._tensors[view].numel() for view in column]
            arena = torch.cat([self._tensors[view] for view in column])
            for view, part in zip(column, arena.split(sizes), strict=True):
                self._tensors[view] = part
            whole = _Column(number, sum(sizes))
            self._tensors[whole] = arena
            self._columns += (whole,)

    def _joined(self, steps: Sequence[Step], outputs: Mapping[str, Tensor]) -> Step | None:
        """All steps as one over everything, where that is the same: no more than one kernel.

        It is where a method sees elements one by one, without statistics, everywhere with the same
        options and weights, and the outputs are this object's `room`.
        """
        first = steps[0] if steps else None
        if first is None or first.method is None or self._arena is None or not self._columns:
            return None
        alike = (first.method, first.options, first.weights, first.output.dtype)
        takes = first.method.takes
        place = self._arena.data_ptr()
        for step in steps:
            out = outputs[step.name]
            if (step.method, step.options, step.weights, step.output.dtype) != alike:
                return None
            if out.data_ptr() != place or out.dtype != self._arena.dtype:
                return None
            place += out.numel() * out.element_size()
        if "statistics" in takes or not FUSIBLE.issuperset(takes):
            return None
        if self._order != tuple(map(_views, steps)):
            return None
        models = self._columns if first.base is None else self._columns[:-1]
        return replace(
            first,
            name="everything",
            output=OutputTensor(first.output.dtype, (self._arena.numel(),)),
            models=models,
            base=None if first.base is None else self._columns[-1],
        )

    def _observe(self, step: Step, whole: _Whole) -> Any:
        """The statistics of a tensor, from before where nothing they depend on has changed."""
        method = step.method
        if method is None or method.statistics is None:
            return None
        uses = inspect.signature(method.statistics).parameters
        options = tuple((name, value) for name, value in sorted(step.options.items())
                        if name in uses)  # fmt: skip
        key = (step.name, method.name, step.base, step.models, step.weights, step.keys, options)
        if key not in self._statistics:
            self._statistics[key] = method.observe(whole, step.options)
        return self._statistics[key]

    def _fuse(self, method: Method) -> Callable[..., None]:
        if method.name not in self._compiled:
            import torch

            self._compiled[method.name] = torch.compile(_fusible(method), dynamic=True)
        return self._compiled[method.name]


def _fusible(method: Method) -> Callable[..., None]:
    """A method from stored tensors to the stored result, as one function of tensors."""

    def merge(
        models: list[Tensor],
        base: Tensor | None,
        weights: Sequence[float],
        statistics: Any,
        options: Mapping[str, Any],
        out: Tensor,
    ) -> None:
        wide = [model.float() for model in models]
        origin = None if base is None else base.float()
        deltas = wide if origin is None else [model - origin for model in wide]
        given = {
            "base": origin,
            "base_or_none": origin,
            "models": wide,
            "deltas": deltas,
            "vectors": deltas,
            "weights": weights,
            "statistics": statistics,
        }
        out.copy_(method.function(*(given[name] for name in method.takes), **options))

    return merge


@dataclass(frozen=True)
class _Column:
    """All tensors of one parent, one behind the other; stands for them in a joined step."""

    number: int
    n_elements: int
    label: str = "a parent"
    stored: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.n_elements,)

    def read_into(self, start: int, stop: int, buffer: memoryview) -> None:
        raise NotImplementedError

    def values_into(self, start: int, stop: int, out: Any) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class _Whole:
    """One tensor of all parents, on the device: what statistics steps and methods are given."""

    step: Step
    tensors: Mapping[View, Tensor]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.step.output.shape

    @property
    def n_elements(self) -> int:
        return self.step.output.n_elements

    @property
    def n_models(self) -> int:
        return len(self.step.models)

    @property
    def weights(self) -> tuple[float, ...]:
        return self.step.weights

    @property
    def row_length(self) -> int:
        return self.shape[-1] if self.shape else 1

    def stored(self) -> tuple[list[Tensor], Tensor | None]:
        """Models and base as they are stored."""
        base = self.step.base
        return (
            [self.tensors[view] for view in self.step.models],
            None if base is None else self.tensors[base],
        )

    def spans(self, size: int) -> Iterator[tuple[int, int]]:
        method = self.step.method
        return spans(self.n_elements, size, method.together(self.shape) if method else 1)

    def blocks(self) -> Iterator[Inputs]:
        return (self.inputs(start, stop) for start, stop in self.spans(PIECE_ELEMENTS))

    def inputs(self, start: int, stop: int, statistics: Any = None) -> Inputs:
        models, base = self.stored()
        return Inputs(
            models=[model[start:stop].float().clone() for model in models],
            base_or_none=None if base is None else base[start:stop].float().clone(),
            weights=self.step.weights,
            draws=Draws(self.step.keys, start, stop - start),
            row_length=self.row_length,
            shape=self.shape,
            name=self.step.name,
            statistics=statistics,
        )


def _views(step: Step) -> tuple[View, ...]:
    return step.models if step.base is None else (*step.models, step.base)


def _load(view: View, device: Any) -> Tensor:
    """A view's tensor `[n]` on the device: as it is stored, or float32 where it is computed."""
    import math

    import torch

    from merging.streaming.stored_rows import not_finite

    n = math.prod(view.shape)
    values = torch.empty(
        n, dtype=torch.float32 if view.stored is None else torch_dtype(view.stored)
    )
    if n and view.stored is None:
        view.values_into(0, n, values.numpy())
    elif n:
        view.read_into(0, n, values.view(torch.uint8).numpy().data)
    if values.is_floating_point() and not bool(values.isfinite().all()):
        raise not_finite(view, getattr(view, "name", "?"), values)
    return values.to(device)


def _can_compile(device: str) -> bool:
    from importlib.util import find_spec

    return device.startswith("cuda") and find_spec("triton") is not None
