"""Options that may differ per model."""

from __future__ import annotations

from collections.abc import Sequence


def per_model(option: float | Sequence[float], n_models: int) -> list[float]:
    """K numbers, whether the option is one for all models or K of them."""
    if isinstance(option, int | float):
        return [option] * n_models
    return list(option)
