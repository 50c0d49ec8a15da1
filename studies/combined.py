"""Combined task vectors: what merges that differ only in the scale have in common.

For many methods the merge is `base + lambda * v`, where v is made of the experts' task vectors and
does not depend on lambda: the sum of task arithmetic, TIES' average of who agrees, and so on. v is
computed once, in float32, and merges with other scales are one multiplication and one addition
away, rounded as the method itself rounds, so that every byte is that of a merge made anew.

v comes from the method itself: the experts are given as task vectors on a base of zeros, and the
scale as 1. That is exact but for the sign of a zero; where that could matter (the base holds a
negative zero and v is zero) a tensor is merged anew each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from merging.checkpoints.stored import ITEM_BYTES
from merging.checkpoints.views import View
from merging.methods.per_model import each
from merging.output.layout import OutputTensor
from merging.recipes.recipe import Recipe
from merging.streaming.program import Step
from merging.streaming.sinks import Sink, TensorSink
from merging.streaming.stream import Event, merge_tensors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

METHODS = frozenset(
    {"task_arithmetic", "ties", "dare_linear", "dare_ties", "breadcrumbs", "breadcrumbs_ties",
     "della_linear", "della", "pcb", "tsv_m", "iso_c"}
)  # fmt: skip
"""Whose merge is the base plus the scale times something; a test holds each to the byte."""
PIECE_ELEMENTS = 1 << 18


def reusable(step: Step) -> bool:
    """Whether merges of this tensor that differ only in the scale share a combined task vector."""
    if step.method is None or step.base is None or step.method.name not in METHODS:
        return False
    # DARE's factor that all experts share is multiplied with the scale before either is rounded;
    # with l1 it is known only while the tensor is read.
    return not (step.method.name == "dare_ties" and step.options["rescale"] == "l1")


def but_scale(recipe: Recipe) -> str:
    """The same for recipes that differ in the scale alone; they are to be pinned.

    Only what is tied to its parents' content may be compared: another model may have come to lie
    under the same name.
    """
    options = {name: value for name, value in recipe.options.items() if name != "scale"}
    return Recipe(**{**recipe.model_dump(), "options": options, "name": None}).hash


class Combined:
    """The combined task vectors of one merge, kept in memory in float32.

    Args:
        steps: of the merge, `merging.streaming.program.program`.
        most_bytes: memory that they may take; beyond, nothing is kept and every merge is made
            anew.
    """

    def __init__(self, steps: Sequence[Step], *, most_bytes: int) -> None:
        wanted = [step for step in steps if reusable(step)]
        fits = sum(4 * step.output.n_elements for step in wanted) <= most_bytes
        self._wanted = {step.name: step for step in wanted} if fits else {}
        self._vectors: dict[str, NDArray[np.float32]] = {}

    @property
    def useful(self) -> bool:
        """Whether there is anything to keep."""
        return bool(self._wanted)

    @property
    def n_bytes(self) -> int:
        """Memory that it takes."""
        return sum(vector.nbytes for vector in self._vectors.values())

    def fill(self, *, threads: int = 1) -> Iterator[Event]:
        """Compute the task vectors; yields progress events.

        Raises:
            ModelError: NaN or infinity in a parent.
            MergeFailure: a task vector beyond what float32 can hold.
        """
        import torch

        made = [_vector_step(step) for step in self._wanted.values()]
        tensors = {step.name: torch.empty(step.output.shape) for step in made}
        yield from merge_tensors(made, TensorSink(tensors), threads=threads)
        self._vectors = {
            name: tensor.view(-1).numpy()
            for name, tensor in tensors.items()
            if not _sign_lost(self._wanted[name], tensor)
        }

    def merge(self, steps: Sequence[Step], sink: Sink, *, threads: int = 1) -> Iterator[Event]:
        """Merge steps that are the same but for the scale; yields progress events.

        Raises:
            ModelError: NaN or infinity in a parent, integer tensors that differ.
            MergeFailure: a result that its dtype cannot hold.
        """
        anew = [step for step in steps if step.name not in self._vectors]
        for step in steps:
            if step.name in self._vectors:
                _place(step, self._vectors[step.name], sink)
        yield from merge_tensors(anew, sink, threads=threads)


def _common(step: Step) -> float:
    """DARE's factor that all experts share, which is a part of the scale."""
    if step.method is None or step.method.name != "dare_ties" or step.options["rescale"] != "1/d":
        return 1.0
    factors = {1 / d for d in each(step.options["density"], len(step.models))}
    return factors.pop() if len(factors) == 1 else 1.0


def _vector_step(step: Step) -> Step:
    """The step that makes the combined task vector."""
    assert step.base is not None
    options: Mapping[str, Any] = {**step.options, "scale": 1.0}
    if _common(step) != 1.0:
        options = {**options, "rescale": "none"}
    return replace(
        step,
        options=options,
        output=OutputTensor("F32", step.output.shape),
        base=_Zeros(step.base.label, step.base.shape),
        models=tuple(_Delta(model, step.base) for model in step.models),
    )


def _place(step: Step, vector: NDArray[np.float32], sink: Sink) -> None:
    """`base + scale * vector` into the sink, rounded after either operation as methods do."""
    import numpy as np

    from merging.kernels.convert import narrow
    from merging.streaming.on_cpu import beyond

    assert step.base is not None
    scale = np.float32(_common(step) * float(step.options["scale"]))
    for start in range(0, vector.size, PIECE_ELEMENTS):
        piece = vector[start : start + PIECE_ELEMENTS] * scale
        piece += _values(step.base, start, start + piece.size)
        data = memoryview(bytearray(piece.size * ITEM_BYTES[step.output.dtype]))
        if not narrow(piece, step.output.dtype, data):
            raise beyond(step)
        sink.write_bytes(step.name, start, data)


def _sign_lost(step: Step, vector: Tensor) -> bool:
    """Whether a zero of the vector meets a negative zero of the base somewhere."""
    import numpy as np

    assert step.base is not None
    flat = vector.view(-1).numpy()
    for start in range(0, flat.size, PIECE_ELEMENTS):
        piece = flat[start : start + PIECE_ELEMENTS]
        base = _values(step.base, start, start + piece.size)
        if bool((np.signbit(base) & (base == 0) & (piece == 0)).any()):
            return True
    return False


def _values(view: View, start: int, stop: int) -> NDArray[np.float32]:
    """Elements of a tensor in float32, all of them finite.

    Raises:
        ModelError: NaN or infinity.
    """
    import numpy as np

    from merging.kernels.convert import widen
    from merging.streaming.stored_rows import not_finite

    out = np.empty(stop - start, np.float32)
    if view.stored is None:
        view.values_into(start, stop, out)
        finite = bool(np.isfinite(out).all())
    else:
        buffer = memoryview(bytearray(out.size * ITEM_BYTES[view.stored]))
        view.read_into(start, stop, buffer)
        finite = widen(buffer, view.stored, out)
    if not finite:
        raise not_finite(view, getattr(view, "name", "?"), out)
    return out


@dataclass(frozen=True)
class _Delta:
    """A task vector as a tensor of its own."""

    model: View
    base: View
    stored: str | None = None

    @property
    def label(self) -> str:
        return self.model.label

    @property
    def name(self) -> str:
        return str(getattr(self.model, "name", "?"))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.model.shape

    def read_into(self, start: int, stop: int, buffer: memoryview) -> None:
        raise NotImplementedError

    def values_into(self, start: int, stop: int, out: NDArray[np.float32]) -> None:
        out[:] = _values(self.model, start, stop)
        out -= _values(self.base, start, stop)


@dataclass(frozen=True)
class _Zeros:
    """A base of nothing."""

    label: str
    shape: tuple[int, ...]
    stored: str | None = None

    def read_into(self, start: int, stop: int, buffer: memoryview) -> None:
        raise NotImplementedError

    def values_into(self, start: int, stop: int, out: NDArray[np.float32]) -> None:
        out[:] = 0.0
