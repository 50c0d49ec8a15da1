"""Which tensors of some models can be compared, and which cannot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from merging.checkpoints.checkpoint import Checkpoint
from merging.errors import ModelError
from merging.wording import in_words

LEAST, MOST = 2, 8  # models that are compared at once; one is enough beside a base


@dataclass(frozen=True)
class Compared:
    """A tensor that all models have.

    Attributes:
        name: in the checkpoints.
        shape: of the part that is compared: its rows may be the common ones only.
    """

    name: str
    shape: tuple[int, ...]

    @property
    def n_elements(self) -> int:
        """Elements that are compared."""
        return math.prod(self.shape)


def align(
    parents: Sequence[Checkpoint], *, based: bool
) -> tuple[list[Compared], list[dict[str, Any]]]:
    """The tensors to compare, in natural order, and notes on the others.

    Args:
        parents: the reference first. Output embeddings are treated alike: compared where at
            least one model has one of its own.
        based: whether the reference is a base, and not one of the models.

    Raises:
        ModelError: too few or too many models, another architecture, other shapes.
    """
    _check_number(len(parents) - based, based=based)
    _check_architecture(parents)
    _agree_on_head(parents)
    names = dict.fromkeys(name for one in parents for name in one.tensors)
    compared: list[Compared] = []
    notes: list[dict[str, Any]] = []
    lacking: dict[tuple[int, ...], list[str]] = {}
    for name in names:
        missing = tuple(i for i, one in enumerate(parents) if name not in one.tensors)
        if missing:
            lacking.setdefault(missing, []).append(name)
        elif not all(one.tensors[name].is_float for one in parents):
            _check_quantised(parents, name)
            notes.append({"kind": "integers", "tensor": name})
        else:
            shape, note = _common(parents, name)
            compared.append(Compared(name, shape))
            notes += [note] if note else []
    for missing, found in lacking.items():
        notes.append({"kind": "missing", "tensors": found, "models": list(missing)})
    compared = [one for one in compared if one.n_elements]
    if not compared:
        raise ModelError(
            f"{in_words([one.label for one in parents])} have no tensor in common. Compare models "
            "of one architecture and size."
        )
    return compared, notes


def _check_number(n_models: int, *, based: bool) -> None:
    least = 1 if based else LEAST
    if not least <= n_models <= MOST:
        raise ModelError(
            f"{n_models} models were given; {LEAST} to {MOST} can be compared at once, or one with "
            "a base."
        )


def _check_architecture(parents: Sequence[Checkpoint]) -> None:
    def kind(one: Checkpoint) -> str:
        names = one.config.get("architectures")
        return str(names[0] if isinstance(names, list) and names else one.config.get("model_type"))

    first = parents[0]
    for other in parents[1:]:
        if kind(other) != kind(first):
            raise ModelError(
                f"{first.label} is a {kind(first)}, {other.label} a {kind(other)}. Compare models "
                "of one architecture."
            )


def _agree_on_head(parents: Sequence[Checkpoint]) -> None:
    tied = all(one.is_tied for one in parents)
    for one in parents:
        if tied and one.head is not None:
            one.tensors.pop(one.head[0], None)  # a copy of the input embedding
        elif not tied:
            one.untie()


def _check_quantised(parents: Sequence[Checkpoint], name: str) -> None:
    for one in parents:
        if one.tensors[name].dtype.startswith("F8") or "quantization_config" in one.config:
            raise ModelError(
                f"{one.label} is quantised ({name} is {one.tensors[name].dtype}). Use the original "
                "model in bfloat16, float16 or float32."
            )


def _common(
    parents: Sequence[Checkpoint], name: str
) -> tuple[tuple[int, ...], dict[str, Any] | None]:
    """The shape that all have of a tensor; embeddings may differ in their rows."""
    shapes = [one.tensors[name].shape for one in parents]
    if len(set(shapes)) == 1:
        return shapes[0], None
    embeddings = {part for one in parents if one.head for part in one.head}
    if name in embeddings and all(len(s) == 2 and s[1] == shapes[0][1] for s in shapes):
        rows = [shape[0] for shape in shapes]
        return (min(rows), shapes[0][1]), {"kind": "rows", "tensor": name, "rows": rows}
    first = next(i for i, shape in enumerate(shapes) if shape != shapes[0])
    raise ModelError(
        f"{name} is {list(shapes[0])} in {parents[0].label} and {list(shapes[first])} in "
        f"{parents[first].label}. Compare models of one size."
    )
