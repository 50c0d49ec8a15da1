"""The leaderboard as a table: one frame, its column settings, and what to export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from db.queries.board import Board, Row
from jobs.scores.comparison import MacroDifference
from pages.components.scores import signatures_card, words

OPEN, CLONE = ":material/open_in_new: Open", ":material/content_copy: Clone recipe"
COLUMNS = (
    "role", "method", "domains", "mean rank", "items", "no answer", "scored", "interval",
    "baseline", "model's domain", "size", "seconds", "configuration",
)  # fmt: skip
DEFAULT_COLUMNS = ("role", "method", "domains", "mean rank", "items", "no answer", "scored")
ROLE_COLOURS = {"base": "gray", "expert": "blue", "instruct": "violet", "merge": "orange"}
MARK_COLOURS = {
    "partial": "yellow", "parents": "yellow", "below": "red", "earlier": "gray", "archived": "gray",
    "signs": "orange", "search": "violet", "held-out": "violet", "imported": "blue",
    "left": "yellow",
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A row of the table: the scores, what they are held against, and the difference."""

    row: Row
    baseline: Row | None
    difference: MacroDifference | None

    @property
    def verdict(self) -> str | None:
        """In words; None for a model that was not made from others and has no baseline."""
        if self.baseline is self.row:
            return words.BASELINE
        if self.difference is None:
            return words.NO_BASELINE if self.row.entry.role == "merge" else None
        return words.VERDICTS[self.difference.verdict]


def marks(board: Board, row: Row) -> list[str]:
    """What must be known before the row's numbers are believed."""
    said = []
    if row.part != "all":
        said.append(f"{row.part} items")
    if row.imported:
        said.append("imported")
    missing = row.missing(board.tasks)
    if missing:
        said.append(f"partial: {len(board.tasks) - len(missing)} of {len(board.tasks)} tasks")
    if row.n_left_out:
        said.append(f"left out: {row.n_left_out} of {row.n_items + row.n_left_out} items")
    unscored, parents = len(board.unscored_parents(row)), len(row.entry.parents)
    if 0 < unscored < parents:  # without any, the verdict says that there is no baseline
        said.append(f"parents: {parents - unscored} of {parents} scored")
    if board.loses_to_every_parent(row):
        said.append("below every parent")
    if row.is_outdated:
        said.append("earlier weights")
    if row.entry.archived:
        said.append("archived")
    return said


def frame(board: Board, lines: Sequence[Line], tasks: Sequence[str] = ()) -> pd.DataFrame:
    """Everything that can be shown, in points, one row per line."""
    rows = [line.row for line in lines]
    deltas = [line.difference for line in lines]
    signs = signatures_card.marks(board, rows)
    data: dict[str, list[Any]] = {
        "Model": [r.entry.name for r in rows],
        "Score": [_points(r.macro) for r in rows],
        "±": [_points(r.macro_stderr) for r in rows],
        "Δ": [_points(d.value) if d else None for d in deltas],
        "Verdict": [[line.verdict] if line.verdict else [] for line in lines],
        "Marks": [[*signs.get(r.key, ()), *marks(board, r)] for r in rows],
        "Role": [[r.entry.role] for r in rows],
        "Method": [r.entry.method for r in rows],
        **{f"{d}": [_points(r.domains.get(d)) for r in rows] for d in board.domains},
        **{f"task: {t}": [_task(r, t) for r in rows] for t in _alone(board, tasks)},
        "Mean rank": [r.mean_rank for r in rows],
        "Items": [r.n_items for r in rows],
        "No answer": [_points(r.no_answer) for r in rows],
        "Cut off": [_points(r.cut_off) for r in rows],
        "Scored": pd.to_datetime([r.scored for r in rows], unit="s", utc=True),
        "95 % interval of Δ": [words.interval(d.low, d.high) if d else None for d in deltas],
        "Baseline": [line.baseline.entry.name if line.baseline else None for line in lines],
        "Model's domain": [r.entry.domain for r in rows],
        "Size": [r.entry.size_bytes / 1e6 if r.entry.size_bytes else None for r in rows],
        "Seconds": [r.seconds for r in rows],
        "Configuration": [r.configuration for r in rows],
        "Do": [[OPEN, CLONE] if r.entry.role == "merge" else [OPEN] for r in rows],
    }
    return pd.DataFrame(data)


def shown_columns(board: Board, chosen: Sequence[str], tasks: Sequence[str]) -> list[str]:
    """Column names in the order they stand in."""
    unanswered = {
        "No answer": any(row.no_answer for row in board.rows),
        "Cut off": any(row.cut_off for row in board.rows),
    }
    optional = {
        "role": ["Role"], "method": ["Method"], "domains": list(board.domains),
        "mean rank": ["Mean rank"], "items": ["Items"],
        "no answer": [c for c, any_ in unanswered.items() if any_], "scored": ["Scored"],
        "interval": ["95 % interval of Δ"], "baseline": ["Baseline"],
        "model's domain": ["Model's domain"], "size": ["Size"], "seconds": ["Seconds"],
        "configuration": ["Configuration"],
    }  # fmt: skip
    wanted = {name for choice in chosen for name in optional.get(choice, [])}
    stamped = any(row.part != "all" or row.imported for row in board.rows)
    if len(board.configurations) > 1 or stamped:
        wanted.add("Configuration")  # rows of different settings must be told apart
    close = ["95 % interval of Δ", "Baseline", "Configuration"]
    rest = [name for names in optional.values() for name in names
            if name not in close and name not in unanswered]  # fmt: skip
    return [
        "Model", "Do", "Score", "±", *(c for c in unanswered if c in wanted), "Δ", "Verdict",
        *(c for c in close if c in wanted), "Marks", *(f"task: {t}" for t in board.outside),
        *(name for name in rest if name in wanted),
        *(f"task: {t}" for t in tasks if t not in board.outside),
    ]  # fmt: skip


def column_config(board: Board, data: pd.DataFrame, baseline: str) -> Mapping[str, Any]:
    """How each column looks, and what its heading explains."""
    c = st.column_config
    said = sorted({mark for marks_ in data["Marks"] for mark in marks_})
    number = {name: c.NumberColumn(format="%.1f") for name in board.domains}
    for task in board.tasks:
        number[f"task: {task}"] = c.NumberColumn(task, format="%.1f")
    for task, metric in board.outside.items():
        number[f"task: {task}"] = c.NumberColumn(
            f"{task} ({metric.split(',')[0]}{' ↓' if ',' in metric else ''})", format="%.4g",
            help=f"{metric}, on its own scale and in no mean.",
        )  # fmt: skip
    return {
        **number,
        "Model": c.TextColumn(pinned=True, width=210),
        "Score": c.ProgressColumn(
            format="%.1f", min_value=0, max_value=100, width=115,
            help="Mean over the tasks, each counting once, in points (0 to 100)."
            + (f" Without {', '.join(board.outside)}: no shares where more is better."
               if board.outside else ""),
        ),
        "±": c.NumberColumn(format="%.1f", width=50, help="Standard error of the score."),
        "Δ": c.NumberColumn(format="%+.1f", width=64, help=f"Score minus that of {baseline}, over the tasks that both have under the same settings."),  # noqa: E501
        "Verdict": c.MultiselectColumn(
            options=list(words.VERDICT_COLOURS), color=list(words.VERDICT_COLOURS.values()),
            width=105, help="Noise: the 95 % interval of the difference holds zero.",
        ),
        "Marks": c.MultiselectColumn(
            options=said, color=[MARK_COLOURS[m.split()[0].strip(":")] for m in said] or None,
            width=165 if said else 70,
        ),
        "Role": c.MultiselectColumn(
            options=list(ROLE_COLOURS), color=list(ROLE_COLOURS.values()), width=80
        ),
        "Method": c.TextColumn(width=140),
        "Mean rank": c.NumberColumn(format="%.1f", help="Mean over the tasks of the place among all rows of the same configuration; 1 is best."),  # noqa: E501
        "Items": c.NumberColumn(format="localized", help="Questions answered, over all tasks."),
        "No answer": c.NumberColumn(format="%.1f %%", width=75, help="Share of the written answers in which no answer was found; they count as wrong."),  # noqa: E501
        "Cut off": c.NumberColumn(format="%.1f %%", width=65, help="Share of the written answers that the limit of new tokens ended before an answer; they count as wrong."),  # noqa: E501
        "Scored": c.DatetimeColumn(format="D MMM, HH:mm"),
        "Size": c.NumberColumn("Size (MB)", format="%.1f"),
        "Seconds": c.NumberColumn(format="%.0f", help="Time the scoring took."),
        "Do": c.ButtonColumn("", type="tertiary", key="row_action", width=60),
    }  # fmt: skip


def export(board: Board, lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Plain records for CSV and JSON, on the metric's own scale, nothing rounded."""
    return [
        {
            "suite": board.suite, "model_id": line.row.entry.id, "model": line.row.entry.name,
            "role": line.row.entry.role, "method": line.row.entry.method,
            "domain": line.row.entry.domain, "configuration": line.row.configuration,
            "macro": line.row.macro, "macro_stderr": line.row.macro_stderr,
            "tasks": len(line.row.scores), "tasks_of_suite": len(board.tasks),
            "part": line.row.part, "imported_from": line.row.imported,
            "no_answer": line.row.no_answer, "cut_off": line.row.cut_off,
            "items": line.row.n_items, "items_left_out": line.row.n_left_out,
            "mean_rank": line.row.mean_rank,
            "baseline": line.baseline.entry.name if line.baseline else None,
            "difference": line.difference.value if line.difference else None,
            "difference_low": line.difference.low if line.difference else None,
            "difference_high": line.difference.high if line.difference else None,
            "difference_paired": line.difference.paired if line.difference else None,
            "verdict": line.difference.verdict if line.difference else None,
            "size_bytes": line.row.entry.size_bytes, "seconds": line.row.seconds,
            "scored": line.row.scored, "fingerprint": line.row.fingerprint,
            **{f"task/{t}": s.value for t, s in line.row.scores.items()},
        }
        for line in lines
    ]  # fmt: skip


def _points(value: float | None) -> float | None:
    return None if value is None else value * words.POINTS


def _task(row: Row, task: str) -> float | None:
    score = row.scores.get(task)
    return None if score is None else words.on_scale(score.value, share=score.in_means)


def _alone(board: Board, tasks: Sequence[str]) -> list[str]:
    """Tasks with a column of their own: those chosen, and those that no mean has."""
    return list(dict.fromkeys([*tasks, *board.outside]))
