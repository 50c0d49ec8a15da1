"""Which merge stands for a group: the one that does best on the items for choosing.

A study tries many options for one set of constituents. Whoever reports the best of them on the
items that it was picked on reports luck along with skill, so groups are represented by the best
merge on the *search* items, and what is said of it is said on the held-out ones. Without a split
both are the same items: tests on the chosen merge are then multiplied by the number of merges that
it was picked from (Bonferroni), and the findings say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from studies.results import Results, Scored

Group = tuple[str, tuple[str, ...], str | None]
"""Stage, constituents, and the merge below (instruct stage)."""


@dataclass(frozen=True, eq=False)
class Pick:
    """The merge that stands for a group.

    Attributes:
        model: it.
        row: its row in `Results.models`.
        search: its mean score on the items for choosing.
        n: scored merges that it was picked from.
        penalty: what its p-values are to be multiplied by: 1 with a split, else n.
    """

    model: Scored
    row: int
    search: float
    n: int
    penalty: int

    def p(self, p: float) -> float:
        """A p-value after the penalty for having been picked."""
        return min(1.0, p * self.penalty)


def group_of(model: Scored) -> Group:
    """The group of a point: what is merged, whatever the method and its options."""
    point = model.point
    if point is None:
        raise ValueError(f"{model.label} is no point of a study.")
    return (str(point.stage), tuple(point.constituents), point.on)


def groups(results: Results) -> dict[Group, list[Scored]]:
    """The scored points by what they merge, in the study's order."""
    found: dict[Group, list[Scored]] = {}
    for one in results.points:
        found.setdefault(group_of(one), []).append(one)
    return found


def picks(results: Results, stage: str | None = None) -> dict[Group, Pick]:
    """The best merge of every group by its mean score on the items for choosing.

    Args:
        results: of the study.
        stage: only its groups.
    """
    found = {}
    for group, members in groups(results).items():
        if stage is None or group[0] == stage:
            one = best(results, members)
            if one is not None:
                found[group] = one
    return found


def best_by(
    results: Results, members: Iterable[Scored], key: Callable[[Scored], str]
) -> Mapping[str, Pick]:
    """The best of each class of some merges, such as each method's."""
    classes: dict[str, list[Scored]] = {}
    for one in members:
        classes.setdefault(key(one), []).append(one)
    found = {name: best(results, some) for name, some in classes.items()}
    return {name: one for name, one in found.items() if one is not None}


def best(results: Results, members: Iterable[Scored]) -> Pick | None:
    """The best of some models on the items for choosing; None when none has a mean score."""
    rows = np.array([results.row[one.key] for one in members], dtype=np.int64)
    macros = results.macros("search")[rows] if rows.size else np.zeros(0)
    if not np.isfinite(macros).any():
        return None
    row = int(rows[np.nanargmax(macros)])
    n = int(np.isfinite(macros).sum())
    return Pick(results.models[row], row, float(np.nanmax(macros)), n,
                1 if results.has_split else n)  # fmt: skip
