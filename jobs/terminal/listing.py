"""Models, methods and suites as plain data, for the terminal's JSON files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from db.queries.models import ModelRow
from jobs.models import weights

Data = dict[str, Any]


def models_data(rows: Sequence[ModelRow]) -> list[Data]:
    """Every model, with its lineage and its recipe."""
    return [
        {
            "model": row.name,
            "source": row.source,
            "role": row.role,
            "domain": row.domain,
            "method": row.method,
            "fingerprint": row.fingerprint,
            "architecture": row.architecture,
            "n_parameters": row.n_parameters,
            "size_bytes": row.size_bytes,
            "dtype": row.dtype,
            "has_chat_template": row.has_chat_template,
            "recipe_hash": row.recipe_hash,
            "recipe": row.recipe_yaml,
            "parents": [
                {"model": one.name, "role": one.role, "weight": weight}
                for one, weight in zip(row.parents, weights.of_parents(row), strict=True)
            ],
            "n_evaluations": row.n_evaluations,
        }
        for row in rows
    ]


def methods_data() -> list[Data]:
    """Every merge method with its options."""
    from merging.methods import METHODS

    return [
        {
            "name": name,
            "title": method.title,
            "summary": method.summary,
            "when_to_use": method.when_to_use,
            "paper": method.paper,
            "needs_base": method.needs_base,
            "min_models": method.min_models,
            "max_models": method.max_models,
            "uses_weights": method.uses_weights,
            "random": method.random,
            "options": [asdict(field) for field in method.fields()],
        }
        for name, method in METHODS.items()
    ]


def suites_data() -> list[Data]:
    """Every suite with its tasks by domain."""
    from evaluation.suites import list_suites

    return [
        {
            "name": suite.name,
            "title": suite.title,
            "description": suite.description,
            "tasks": {task: suite.domain(task) for task in suite.tasks},
            "licence": suite.licence,
            "ready": suite.ready,
            "missing": suite.missing,
        }
        for suite in list_suites()
    ]
