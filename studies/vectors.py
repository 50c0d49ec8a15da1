"""Similarities of the parents in the form that a study's results hold: overall and by place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from merging.similarity.places import place

if TYPE_CHECKING:
    from merging.similarity.result import Similarity

Pair = tuple[str, str]

MEASURES = {
    "l2": "L2 distance (of the weights, and equally of the task vectors)",
    "weight_cosine": "Cosine of the raw weights",
    "task_cosine": "Cosine of the task vectors",
    "sign_conflict": "Sign conflict of the task vectors",
    "weighted_conflict": "Sign conflict of the task vectors by magnitude",
}
"""Measures of a pair. ||theta_a - theta_b|| = ||tau_a - tau_b||: the base drops out of L2."""

_OURS = {"l2": "distance"}


@dataclass(frozen=True)
class Cell:
    """Sums over a pair of task vectors in one tensor, from which cosines of any group follow.

    Attributes:
        first: parent.
        second: parent.
        tensor: its name.
        layer: `layer 3`, or a part outside the layers.
        module: `q_proj`, or "other parts".
        n: elements.
        inner: tau_first . tau_second.
        first_squared: squared norm of the first.
        second_squared: squared norm of the second.
    """

    first: str
    second: str
    tensor: str
    layer: str
    module: str
    n: int
    inner: float
    first_squared: float
    second_squared: float


def overall(similarity: Similarity, names: Sequence[str]) -> dict[Pair, dict[str, float]]:
    """`Results.similarity` from a comparison.

    Args:
        similarity: of the parents, with the base as its reference.
        names: of its participants in their order: "base", the domains, "instruct".

    Returns:
        Pair -> measure -> value. What is not defined is left out: the base has no task vector.
    """
    from merging.similarity.measures import MEASURES as KNOWN
    from merging.similarity.measures import overall as over_all
    from merging.similarity.measures import subjects

    found: dict[Pair, dict[str, float]] = {}
    for key in MEASURES:
        measure = KNOWN[_OURS.get(key, key)]
        for i, j in subjects(similarity, measure):
            value = over_all(similarity, measure, i, j)
            if math.isfinite(value):
                found.setdefault((names[i], names[j]), {})[key] = value
    return found


def cells(similarity: Similarity, names: Sequence[str]) -> tuple[Cell, ...]:
    """`Results.cells` from a comparison: every pair of task vectors in every finite tensor."""
    from merging.similarity.measures import Sums

    sums = Sums(similarity, similarity.sums)
    found = []
    for i, j in similarity.task_pairs:
        columns = (sums.inner(i, j), sums.inner(i, i), sums.inner(j, j))
        for row, (tensor, shape) in enumerate(
            zip(similarity.names, similarity.shapes, strict=True)
        ):
            values = [float(column[row]) for column in columns]
            if all(math.isfinite(value) for value in values):
                at = place(tensor)
                found.append(
                    Cell(names[i], names[j], tensor, at.row, at.column, math.prod(shape), *values)
                )
    return tuple(found)
