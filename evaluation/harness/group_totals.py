"""Scores of lm-eval's groups from their members', as the harness joins them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.harness.groups import GroupScore


def group_totals(
    groups: Sequence[GroupScore], scored: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Group -> its score, for groups whose members all have one.

    The value is the mean over the members, each weighted by its number of items or each once, as
    the group's file says; its standard error is that of such a mean of independent means.

    Args:
        groups: from the suite.
        scored: task -> ``{"n": items, "metrics": {name: {"value", "stderr"}}}``.

    Returns:
        ``{group: {"metric", "value", "stderr", "n", "weight_by_size", "tasks"}}``; of a group with
        several metrics the first that all members have.
    """
    found: dict[str, dict[str, Any]] = {}
    for group in groups:
        rows = [scored[task] for task in group.members if task in scored]
        if group.name in found or not rows or len(rows) < len(group.members):
            continue
        if all(group.metric in row["metrics"] for row in rows):
            found[group.name] = _total(group, rows)
    return found


def _total(group: GroupScore, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    sizes = [int(row["n"]) for row in rows]
    weights = [float(n) if group.weight_by_size else 1.0 for n in sizes]
    cells = [row["metrics"][group.metric] for row in rows]
    whole = sum(weights)
    errors = [cell["stderr"] for cell in cells]
    return {
        "metric": group.metric,
        "value": sum(w * c["value"] for w, c in zip(weights, cells, strict=True)) / whole,
        "stderr": None
        if None in errors
        else math.sqrt(sum((w * e) ** 2 for w, e in zip(weights, errors, strict=True))) / whole,
        "n": sum(sizes),
        "weight_by_size": group.weight_by_size,
        "tasks": len(rows),
    }
