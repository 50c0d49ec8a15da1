"""The model card of an extracted adapter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from merging.checkpoints.checkpoint import Checkpoint
from merging.extract.layout import AdapterLayout, module_of
from merging.output.card import HUB_ID, shown


def adapter_card(
    expert: Checkpoint,
    base: Checkpoint,
    config: Mapping[str, Any],
    found: Sequence[Mapping[str, Any]],
    layout: AdapterLayout,
    captured: float,
) -> str:
    """README.md of an adapter: what it was made of, and how much of it it holds.

    Args:
        expert: opened.
        base: opened.
        config: of the adapter.
        found: name, rank, captured and norm of each matrix.
        layout: what became of the other tensors.
        captured: share of the squared difference of all.
    """
    data: dict[str, Any] = {"library_name": "peft", "tags": ["lora", "crucible"]}
    name = str(config["base_model_name_or_path"])
    if HUB_ID.fullmatch(name) and not name.startswith("."):
        data["base_model"] = name
    parts = [
        f"---\n{yaml.safe_dump(data, sort_keys=False)}---",
        f"# {shown(expert.label)} as a LoRA of rank {config['r']}",
        f"Extracted from {shown(expert.label)} and its base {shown(base.label)} by truncated "
        f"singular value decomposition. It holds {100 * captured:.1f} % of the squared difference "
        "between the two.",
        "| layers | matrices | held |\n| --- | --- | --- |\n" + "\n".join(_rows(found)),
    ]
    if layout.whole:
        parts.append(f"{len(layout.whole)} other tensors are in it as the expert has them.")
    if layout.left:
        parts.append(f"{len(layout.left)} other tensors that differ are not in it.")
    return "\n\n".join(parts) + "\n"


def _rows(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each kind of layer."""
    kinds: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for one in found:
        kinds[module_of(one["name"]).rpartition(".")[2]].append(one)
    rows = []
    for kind, ones in kinds.items():
        total = sum(one["norm"] ** 2 for one in ones)
        kept = sum(one["captured"] * one["norm"] ** 2 for one in ones)
        rows.append(f"| {kind} | {len(ones)} | {100 * (kept / total if total else 1):.1f} % |")
    return rows
