"""Aggregations that the harness lacks, for task YAMLs to name.

The harness's own ``f1`` is binary and stops at a third class. A task says instead::

    metric_list:
      - {metric: f1, aggregation: !function evaluation.metrics.macro_f1, higher_is_better: true}
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DRAWS = 10_000


def macro_f1(items: Sequence[tuple[Any, Any]]) -> float:
    """Mean over classes of F1, each class counting once.

    F1 of a class is 2 tp / (2 tp + fp + fn). Classes are those that occur among the labels or the
    predictions, as in scikit-learn.

    Args:
        items: (label, prediction) of each item.

    Raises:
        ValueError: no items.
    """
    cells, counts, size = _confusion(items)
    return float(_macro_f1(cells, counts[None], size)[0])


def macro_f1_error(items: Sequence[tuple[Any, Any]], seed: int = 0) -> float | None:
    """Bootstrap standard error of ``macro_f1``; None for fewer than two items.

    Drawing items with replacement is drawing the cells of the confusion matrix from a multinomial
    distribution, so all resamples are computed at once. A class that a resample lacks is left out
    of that resample's mean.
    """
    if len(items) < 2:
        return None
    cells, counts, size = _confusion(items)
    drawn = np.random.default_rng(seed).multinomial(len(items), counts / len(items), size=_DRAWS)
    return float(_macro_f1(cells, drawn, size).std(ddof=1))


# ``evaluation.answers`` asks an aggregation for its error this way.
macro_f1.standard_error = macro_f1_error  # type: ignore[attr-defined]


def _confusion(
    items: Sequence[tuple[Any, Any]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Distinct (label, prediction) cells, shape (c, 2), their counts (c,), number of classes."""
    if not items:
        raise ValueError("F1 needs at least one item.")
    classes = {name: i for i, name in enumerate(dict.fromkeys(x for pair in items for x in pair))}
    pairs = np.array([[classes[label], classes[guess]] for label, guess in items], dtype=np.int64)
    cells, counts = np.unique(pairs, axis=0, return_counts=True)
    return cells, counts, len(classes)


def _macro_f1(
    cells: NDArray[np.int64], counts: NDArray[np.int64], size: int
) -> NDArray[np.float64]:
    """Macro-F1 of each row of cell counts, shape (draws, c); returns shape (draws,)."""
    of_label = np.eye(size)[cells[:, 0]]  # (c, classes)
    of_guess = np.eye(size)[cells[:, 1]]
    hits = counts @ (of_label * of_guess)  # (draws, classes): true positives
    seen = counts @ (of_label + of_guess)  # 2 tp + fp + fn
    f1 = np.divide(2 * hits, seen, out=np.zeros_like(hits), where=seen > 0)
    return np.asarray(f1.sum(axis=1) / (seen > 0).sum(axis=1))
