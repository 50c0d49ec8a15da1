"""What a model consists of, and what a schedule of a recipe gives each of its parts.

From names and headers alone: no weight is read.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.models import describe, registry

if TYPE_CHECKING:
    from merging.recipes.slices import Slice

# what a picture shows while none of the models is on this machine
EXAMPLE_LAYERS = 24
EXAMPLE_PARTS = (
    "input_layernorm.weight", "mlp.down_proj.weight", "mlp.gate_proj.weight", "mlp.up_proj.weight",
    "post_attention_layernorm.weight", "self_attn.k_proj.weight", "self_attn.o_proj.weight",
    "self_attn.q_proj.weight", "self_attn.v_proj.weight",
)  # fmt: skip
MOST_TENSORS = 20_000  # a picture of more takes too long: the first layers' experts stand for all


@dataclass(frozen=True)
class Part:
    """A tensor by name.

    Attributes:
        name: in the result.
        layer: of the result; None outside of the layers.
        position: of the layer, from 0 to 1, in its slice or in the model.
        rest: its name within the layer; outside of the layers the whole name.
        first: outside of the layers, whether it stands before them.
    """

    name: str
    layer: int | None
    position: float | None
    rest: str
    first: bool = False


@dataclass(frozen=True)
class Anatomy:
    """The tensors of a model.

    Attributes:
        label: of the model; None for an example.
        count: number of layers.
        parts: in natural order.
    """

    label: str | None
    count: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Line:
    """What a schedule gives tensors that all get the same: a value per layer (None: no tensor)."""

    rests: tuple[str, ...]
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Points:
    """What a schedule gives tensors outside of the layers, before or after them."""

    names: tuple[str, ...]
    first: bool
    value: Any


def of_models(refs: Sequence[str], slices: Sequence[Slice] = ()) -> Anatomy:
    """The tensors that a recipe's result has.

    Args:
        refs: its models; the first one whose headers can be read stands for all.
        slices: its ranges of layers.
    """
    found = next(filter(None, map(_of_model, refs)), None) or _example()
    return _sliced(found, slices) if slices else found


def curves(anatomy: Anatomy, settings: Sequence[Any]) -> tuple[list[Line], list[Points]]:
    """What a schedule gives every tensor.

    Args:
        anatomy: of the model.
        settings: checked schedules or values; a tensor that no filter of one means gets what the
            next one says.

    Returns:
        One line for all tensors of the layers that get the same in each of them, and the values
        outside of the layers.
    """
    rests: dict[str, list[Any]] = {}
    outside: dict[tuple[bool, Any], list[str]] = {}
    for part in anatomy.parts:
        value = _value(settings, part)
        if part.layer is None:
            outside.setdefault((part.first, value), []).append(part.rest)
        else:
            rests.setdefault(part.rest, [None] * anatomy.count)[part.layer] = value
    lines: dict[tuple[Any, ...], list[str]] = {}
    for rest, values in rests.items():
        lines.setdefault(tuple(values), []).append(rest)
    return (
        [Line(tuple(names), values) for values, names in lines.items()],
        [Points(tuple(names), first, value) for (first, value), names in outside.items()],
    )


def _value(settings: Iterable[Any], part: Part) -> Any:
    from merging.recipes import schedules

    for setting in settings:
        value = schedules.resolve(setting, part.name, part.position)
        if value is not None:
            return value
    return None


def _of_model(ref: str) -> Anatomy | None:
    """From a model's headers; None when they cannot be read here and now."""
    from merging.checkpoints.sources import resolve
    from merging.errors import MergingError

    known, sources = registry.folders(), registry.names()
    try:
        folder = resolve(ref if ref in known else sources.get(ref, ref), known, download=False)
        return _of_folder(str(folder), describe.signature(folder), ref)
    except (MergingError, OSError):
        return None  # what is wrong with it is said where the models are checked


@functools.lru_cache(maxsize=32)
def _of_folder(folder: str, signature: str, label: str) -> Anatomy:
    """From a folder's headers; the signature tells when they have changed."""
    from merging.checkpoints.checkpoint import Checkpoint

    with Checkpoint.open(Path(folder), label=label) as opened:
        return _of_names(list(opened.tensors)[:MOST_TENSORS], opened.config, label)


def _example() -> Anatomy:
    names = ["model.embed_tokens.weight"]
    for layer in range(EXAMPLE_LAYERS):
        names += [f"model.layers.{layer}.{rest}" for rest in EXAMPLE_PARTS]
    names += ["model.norm.weight", "lm_head.weight"]
    return _of_names(names, {}, None)


def _of_names(names: Sequence[str], config: dict[str, Any], label: str | None) -> Anatomy:
    from merging.recipes.layers import Layers, comes_first, position

    layers = Layers(names, config)
    parts = []
    for name in names:
        place = layers.place(name)
        if place is None:
            parts.append(Part(name, None, None, name, comes_first(name)))
        else:
            where = position(place.layer, layers.count)
            parts.append(Part(name, place.layer, where, place.rest))
    return Anatomy(label, layers.count, tuple(parts))


def _sliced(whole: Anatomy, slices: Sequence[Slice]) -> Anatomy:
    """The same for a result whose layers are those of the slices, one slice after the other."""
    from merging.recipes.layers import position

    layers: dict[int, list[Part]] = {}
    for part in whole.parts:
        if part.layer is not None:
            layers.setdefault(part.layer, []).append(part)
    parts = [part for part in whole.parts if part.layer is None]
    number = 0
    for one in slices:
        for offset in range(one.count):
            source = min(one.sources[0].layers[0] + offset, max(whole.count - 1, 0))
            for part in layers.get(source, ()):
                name = part.name.replace(f".{source}.", f".{number}.", 1)
                parts.append(Part(name, number, position(offset, one.count), part.rest))
            number += 1
    return Anatomy(whole.label, number, tuple(parts))
