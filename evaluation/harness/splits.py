"""Which split a task asks, and which it takes its examples from. Needs no lm-eval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def from_questions(config: Any) -> bool:
    """Whether a task's examples are drawn from the split that is asked.

    Args:
        config: the harness's ``TaskConfig``, or a task file's mapping.
    """
    few = _get(config, "fewshot_config") or {}
    asked = _get(config, "test_split") or _get(config, "validation_split")
    named = _get(config, "fewshot_split") or _get(few, "split")
    if not named and _get(few, "samples") is not None:
        return False
    drawn = named or _get(config, "training_split") or _get(config, "validation_split") or asked
    return asked is not None and drawn == asked


def _get(config: Any, name: str) -> Any:
    found = getattr(
        config, name, None
    )  # (the harness's configuration is a mapping too, an empty one)
    return config.get(name) if found is None and isinstance(config, Mapping) else found
