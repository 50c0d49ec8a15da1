"""The layers of a checkpoint, found by the names of its tensors: no table of architectures."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from merging.checkpoints.folder import text_config

# `model.layers.3.mlp.up_proj.weight`: what comes before the layer's number, the number, the rest
NUMBERED = re.compile(r"^((?:[^.\d][^.]*\.)+?)(\d+)\.(.+)$")
COUNTS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
FIRST = re.compile(r"(^|\.)(embed_tokens|wte|wpe|embed_in|word_embeddings|shared|embeddings)\.")


class Place(NamedTuple):
    """Where a tensor stands in its layer."""

    layer: int
    rest: str


class Layers:
    """The main stack of layers among tensor names.

    Args:
        names: of all tensors.
        config: the model's config; where several stacks are numbered (a vision tower, say), the
            one with as many layers as the config's text model says is the main one, else the
            one of the most tensors.

    Attributes:
        prefix: of the stack's tensors, such as `model.layers.`; empty when there is none.
        count: number of layers.
    """

    def __init__(self, names: Iterable[str], config: dict[str, Any]) -> None:
        stacks: dict[str, set[int]] = defaultdict(set)
        tensors: dict[str, int] = defaultdict(int)
        for name in names:
            if found := NUMBERED.match(name):
                stacks[found[1]].add(int(found[2]))
                tensors[found[1]] += 1
        declared = next(
            (text_config(config)[key] for key in COUNTS if key in text_config(config)), None
        )
        order = sorted(stacks, key=lambda one: (len(stacks[one]) == declared, tensors[one]))
        self.prefix = order[-1] if order else ""
        self.count = max(stacks[self.prefix]) + 1 if order else 0

    def place(self, name: str) -> Place | None:
        """The layer of a tensor; None outside of the main stack."""
        if not self.prefix or not name.startswith(self.prefix):
            return None
        number, _, rest = name.removeprefix(self.prefix).partition(".")
        return Place(int(number), rest) if number.isdecimal() and rest else None

    def name(self, place: Place) -> str:
        """The tensor at a place."""
        return f"{self.prefix}{place.layer}.{place.rest}"

    def position(self, name: str) -> float | None:
        """From 0 in the first layer to 1 in the last; None outside of the layers."""
        place = self.place(name)
        return None if place is None else position(place.layer, self.count)


def position(layer: int, count: int) -> float:
    """Of a layer among `count`; a single layer is the last one, as in mergekit."""
    return layer / (count - 1) if count > 1 else 1.0


def comes_first(name: str) -> bool:
    """Whether a tensor outside of the layers stands before them: an embedding of the input."""
    return FIRST.search(name) is not None


def with_layers(config: Mapping[str, Any], sources: list[int]) -> dict[str, Any]:
    """A config for a stack of other layers.

    Args:
        config: of the model whose layers are numbered in `sources`.
        sources: for every layer of the result the layer whose settings it has.

    Returns:
        A copy: the number of layers set, and every list with one entry per layer (such as
        `layer_types`) put together anew.
    """
    result = dict(config)
    if isinstance(config.get("text_config"), Mapping):
        result["text_config"] = with_layers(config["text_config"], sources)
        return result
    before = next((config[key] for key in COUNTS if isinstance(config.get(key), int)), None)
    for key in COUNTS:
        if key in config:
            result[key] = len(sources)
    for key, value in config.items():
        if isinstance(value, list) and before and len(value) == before > 2:
            result[key] = [value[min(source, before - 1)] for source in sources]
    return result
