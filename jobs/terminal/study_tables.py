"""What came out of a study, as plain data and as a terminal's tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rich.table import Table

from jobs.terminal import show

if TYPE_CHECKING:
    from studies.results import Results

Data = dict[str, Any]


def outcome(results: Results) -> Data:
    """Per stage the best merge with its Gain and OG, the parents, what failed, the findings."""
    from studies.analysis.gains import gains
    from studies.findings import findings

    found, told = gains(results), findings(results).data()
    rows = {row["key"]: row for row in found.macro_table()}
    search, report = results.macros("search"), results.macros("report")
    for key, row in rows.items():
        place = results.row[key]
        row |= {"score_choosing": _plain(search[place]), "score": _plain(report[place])}
    n_scored = len(results.points)
    return {
        "planned": results.planned,
        "scored": n_scored,
        "failed": dict(results.failed),
        "split": results.has_split,
        "tasks": [task.name for task in results.tasks],
        "parents": {
            name: {"label": one.label, "score": results.macro(one)}
            for name, one in results.parents.items()
        },
        "best": {stage: _best(rows, stage) for stage in results.design.stages},
        "merges": list(rows.values()),
        "findings": told["findings"],
        "notes": told["notes"],
    }


def _best(rows: dict[str, Data], stage: str) -> Data | None:
    """The merge of a stage with the best score on the items for choosing."""
    there = [
        row for row in rows.values() if row["stage"] == stage and row["score_choosing"] is not None
    ]
    return max(there, key=lambda row: float(row["score_choosing"]), default=None)


def print_outcome(data: Data) -> None:
    """Parents, the best merge of each stage, what failed, and the findings."""
    parents = Table(title=f"Study {data['study']}: {data['scored']} of {data['planned']} merges")
    parents.add_column("Parent")
    parents.add_column("Macro score in %", justify="right")
    for name, one in data["parents"].items():
        parents.add_row(f"{name} ({one['label']})" if one["label"] != name else name,
                        _percent(one["score"]))  # fmt: skip
    show._print(parents)
    _print_best(data)
    for text in dict.fromkeys(data["failed"].values()):
        show.say(f"Failed: {text}")
    _print_findings(data)


def _print_findings(data: Data) -> None:
    """Each claim of the papers with the study's own verdict."""
    table = Table(title="Findings", show_lines=True)
    table.add_column("Claim", overflow="fold")
    table.add_column("Verdict")
    table.add_column("Why", overflow="fold")
    for one in data["findings"]:
        table.add_row(one["title"], one["verdict"], one["sentence"])
    show._print(table)
    for text in data["notes"]:
        show.say(text)


def _print_best(data: Data) -> None:
    table = Table(title="The best merge of each stage")
    table.add_column("Stage")
    table.add_column("Merge", overflow="fold")
    for name in ("Macro score in %", "Macro-Gain", "Macro-OG"):
        table.add_column(name, justify="right")
    for stage, row in data["best"].items():
        if row is None:
            table.add_row(stage, "-", "-", "-", "-")
            continue
        cells = [_difference(row, name) for name in ("macro_gain_", "macro_og_")]
        table.add_row(stage, str(row["merge"]), _percent(row["score"]), *cells)
    show._print(table)
    chosen = (
        "Chosen on one part of the items, reported on the other"
        if data["split"]
        else "Chosen and reported on the same items, so the scores are flattered"
    )
    show.say(f"{chosen}; points with 95 % intervals, in brackets where they hold zero.")


def _difference(row: Data, name: str) -> str:
    value, low, high = (row[f"{name}{end}"] for end in ("value", "low", "high"))
    if value is None:
        return "-"
    if low is None or high is None:
        return f"{100 * value:+.1f}"
    text = f"{100 * value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
    return text if low > 0 or high < 0 else f"({text})"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
