"""A small search on the sandbox, for the tests."""

from __future__ import annotations

from typing import Any

from search.design import SearchDesign

TASKS = ["sandbox_general_people", "sandbox_finance_firms", "sandbox_math_quantities"]
DATA: dict[str, Any] = {
    "name": "small",
    "recipe": {
        "method": "task_arithmetic",
        "base": "sandbox/base",
        "models": [{"model": "sandbox/finance"}, {"model": "sandbox/math"}],
    },
    "space": {
        "options": {"lambda": {"low": 0.2, "high": 1.2}},
        "weights": {"sandbox/finance": {"low": 0, "high": 1.5}},
    },
    "suite": "sandbox",
    "tasks": TASKS,
    "limit": 12,
    "sampler": "random",
    "trials": 4,
    "grid": [0.4, 1.0],
}


def data(**changes: Any) -> dict[str, Any]:
    """The design's plain data with other keys; None takes one out."""
    return {key: one for key, one in {**DATA, **changes}.items() if one is not None}


def design(**changes: Any) -> SearchDesign:
    """The design."""
    return SearchDesign.from_mapping(data(**changes))
