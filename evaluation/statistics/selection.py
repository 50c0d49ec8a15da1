"""How much the best of several models is flattered by having been picked on these very items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

DRAWS = 1_000
_CHUNK_NUMBERS = 4_000_000


@dataclass(frozen=True, slots=True)
class Selection:
    """The best of several models, and what its score owes to luck.

    Attributes:
        best: place of the model with the highest mean over the tasks.
        score: its mean over the tasks.
        bias: expected excess of a winner's score over what it is worth, at least 0.
        models: how many it was chosen from.
        items: on how many items, over all tasks.
    """

    best: int
    score: float
    bias: float
    models: int
    items: int


def selection_bias(tasks: Mapping[str, ArrayLike], seed: int = 0, draws: int = DRAWS) -> Selection:
    """Bootstrap of the maximum: what picking the best of k models on the same items adds.

    Items are drawn with replacement inside each task, the same for all models. In each draw the
    best model is picked by the drawn scores; the mean of (its drawn score - its score on all
    items) is the optimism of the choice (Efron's bootstrap estimate of the bias of a maximum).
    Models that agree on most items share their luck, and the bias comes out small.

    Args:
        tasks: task -> scores of shape (models, items of the task), models in the same order.
        seed: of the draws.
        draws: number of resamples.

    Raises:
        ValueError: no tasks, no models, or different numbers of models.
    """
    columns = [np.asarray(values, dtype=np.float64) for _, values in sorted(tasks.items())]
    if not columns or any(x.ndim != 2 or 0 in x.shape for x in columns):
        raise ValueError("Choosing needs at least one task with models and items.")
    models = columns[0].shape[0]
    if any(x.shape[0] != models for x in columns):
        raise ValueError("Every task needs scores of the same models.")
    rng = np.random.default_rng(seed)
    means = np.mean([x.mean(axis=1) for x in columns], axis=0)  # (models,)
    drawn = np.zeros((draws, models))
    for x in columns:
        drawn += _resampled(x, rng, draws) / len(columns)
    winners = drawn.argmax(axis=1)
    excess = drawn[np.arange(draws), winners] - means[winners]
    best = int(means.argmax())
    bias = max(0.0, float(excess.mean())) if models > 1 else 0.0
    return Selection(best, float(means[best]), bias, models, sum(x.shape[1] for x in columns))


def _resampled(
    values: NDArray[np.float64], rng: np.random.Generator, draws: int
) -> NDArray[np.float64]:
    """Means over drawn items of values (models, items). Returns shape (draws, models)."""
    n = values.shape[1]
    step = max(1, _CHUNK_NUMBERS // n)
    parts = [
        rng.multinomial(n, np.full(n, 1 / n), size=min(step, draws - start)) @ values.T / n
        for start in range(0, draws, step)
    ]
    return np.concatenate(parts)
