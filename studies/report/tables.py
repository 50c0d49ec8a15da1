"""The tables behind a report, and rows as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from studies.findings import Findings
from studies.report.facts import Facts
from studies.results import Results

Rows = Sequence[Mapping[str, Any]]
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(rows: Rows) -> str:
    """Rows as CSV with a header of all their columns; text that a sheet would run is quoted."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in columns])
    return text.getvalue()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, list | tuple | Mapping):
        value = json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return f"{value:.9g}" if isinstance(value, float) else value


def points(results: Results, facts: Facts) -> list[dict[str, Any]]:
    """A row for every scored point: what it is, its mean scores, and what is known of its run."""
    search, report = results.macros("search"), results.macros("report")
    found = []
    for one in results.points:
        row, point = results.row[one.key], one.point
        if point is None:
            continue
        found.append(
            {
                "key": one.key,
                "merge": one.label,
                "stage": str(point.stage),
                "method": point.method,
                "constituents": " + ".join(point.constituents),
                "options": json.dumps(dict(point.options), sort_keys=True),
                "seed": point.seed,
                "on": point.on,
                "mean_score_choosing": _plain(search[row]),
                "mean_score": _plain(report[row]),
                **facts.points.get(one.key, {}),
            }
        )
    return found


def scores(results: Results) -> list[dict[str, Any]]:
    """A row for every model and task."""
    search, report = results.scores("search"), results.scores("report")
    return [
        {"key": one.key, "model": one.label, "task": task.name, "domain": task.domain,
         "metric": task.metric, "items": task.n, "reported_items": int(task.held_out.sum()),
         "score_choosing": _plain(search[row, column]), "score": _plain(report[row, column])}
        for row, one in enumerate(results.models)
        for column, task in enumerate(results.tasks)
        if task.name in one.values
    ]  # fmt: skip


def tasks(results: Results) -> list[dict[str, Any]]:
    """A row for every task."""
    return [
        {"task": one.name, "domain": one.domain, "metric": one.metric, "items": one.n,
         "reported_items": int(one.held_out.sum()), "chance": one.chance,
         "in_mean_scores": bool(here)}
        for one, here in zip(results.tasks, results.shared, strict=True)
    ]  # fmt: skip


def of_study(results: Results, facts: Facts, verdicts: Findings) -> dict[str, Rows]:
    """Name of a CSV -> rows, of everything that is no picture's."""
    return {
        "findings": verdicts.table(),
        "finding_tests": verdicts.effect_table(),
        "points": points(results, facts),
        "scores": scores(results),
        "tasks": tasks(results),
        "parents": facts.parents,
    }


def _plain(value: float) -> float | None:
    return float(value) if value == value else None
