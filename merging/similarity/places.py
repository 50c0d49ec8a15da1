"""Where in a network a tensor sits, from its name alone: a layer's row, a module's column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LAYER = re.compile(r"^(?:.*\.)?(?:layers?|h|blocks?|block)\.(\d+)\.(.+)$")
OTHER = "other parts"
# the modules of the usual networks in the order in which a token meets them
ORDER = (
    "input_layernorm", "ln_1", "q_proj", "k_proj", "v_proj", "qkv_proj", "query_key_value",
    "q_norm", "k_norm", "o_proj", "post_attention_layernorm", "pre_feedforward_layernorm",
    "post_feedforward_layernorm", "ln_2", "gate", "gate_proj", "up_proj", "gate_up_proj",
    "down_proj",
)  # fmt: skip
NAMES = {
    "embed_tokens": "embeddings", "wte": "embeddings", "embed_in": "embeddings",
    "wpe": "positions", "norm": "final norm", "ln_f": "final norm",
    "final_layer_norm": "final norm", "lm_head": "output head", "embed_out": "output head",
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A cell of the map.

    Attributes:
        row: `layer 3`, or the name of a part outside the layers.
        column: the module, such as `q_proj` or `q_proj bias`; OTHER outside the layers.
    """

    row: str
    column: str


def place(name: str) -> Place:
    """Where a tensor sits.

    A module's parts other than `weight` are columns of their own, and so are experts' modules
    (all experts of a layer share a cell).
    """
    found = LAYER.match(name)
    if found is None:
        stem = name.removesuffix(".weight")
        parts = stem.split(".")
        last = parts[-1] if parts[-1] != "bias" else f"{parts[-2] if parts[1:] else ''} bias"
        return Place(NAMES.get(last, stem.removeprefix("model.")), OTHER)
    layer, rest = found.groups()
    parts = rest.split(".")
    kind = parts.pop() if parts[-1] in ("weight", "bias") else ""
    names = [part for part in parts if not part.isdecimal()]
    module = names[-1] if names else rest
    if "experts" in names[:-1]:
        module = f"experts {module}"
    if "shared_expert" in names[:-1] or "shared_experts" in names[:-1]:
        module = f"shared {module}"
    return Place(f"layer {int(layer)}", f"{module} bias" if kind == "bias" else module)


def rows_and_columns(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Rows and columns of the map of these tensors.

    Rows in the order of a forward pass: embeddings, layers, final norm, output head. Columns in
    the usual modules' order, then others as they come, OTHER last.
    """
    places = [place(name) for name in names]
    before = [one.row for one in places if one.column == OTHER and _is_input(one.row)]
    layers = {one.row for one in places if one.column != OTHER}
    after = [one.row for one in places if one.column == OTHER and not _is_input(one.row)]
    after.sort(key=lambda row: (row == "output head", row == "final norm"))
    columns = _unique(one.column for one in places)
    columns.sort(key=lambda column: (column == OTHER, _rank(column)))
    rows = [*before, *sorted(layers, key=lambda row: int(row.split()[1])), *after]
    return _unique(rows), columns


def _is_input(row: str) -> bool:
    return row in ("embeddings", "positions")


def _rank(column: str) -> float:
    """The place in ORDER; a bias directly behind its weight, unknown modules at the end."""
    words = column.removesuffix(" bias").split()
    known = words[-1] in ORDER
    rank = float(ORDER.index(words[-1])) if known else float(len(ORDER))
    return rank + (0.5 if column.endswith(" bias") else 0.0) + (0.1 if len(words) > 1 else 0.0)


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))
