"""Categories of judged models: as a table's rows, and as a radar chart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from db.queries.judging import JudgingRow
from pages.components.scores.plots import plain, short

if TYPE_CHECKING:
    import plotly.graph_objects as go

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def frame(rows: Sequence[JudgingRow]) -> pd.DataFrame:
    """One line per report; grades from 1 to 10, rates in percent."""
    best = sorted(rows, key=lambda row: -(value(row) or 0.0))
    return pd.DataFrame([_single(row) if row.mode == "single" else _pair(row) for row in best])


def value(row: JudgingRow) -> float | None:
    """The report's one number: mean grade or win rate."""
    found = row.summary["mean" if row.mode == "single" else "win_rate"]
    return None if found is None else float(found)


def _single(row: JudgingRow) -> dict[str, Any]:
    summary = row.summary
    return {
        "Model": row.model,
        "Grade": summary["mean"],
        "±": summary["stderr"],
        **{name: part["mean"] for name, part in summary["categories"].items()},
        "n": summary["n_scored"],
        "No grade": summary["n"] - summary["n_scored"],
        "Characters": summary["characters"],
    }


def _pair(row: JudgingRow) -> dict[str, Any]:
    summary = row.summary
    return {
        "Model": row.model,
        "Against": row.other or "a deleted model",
        "Win rate %": _percent(summary["win_rate"]),
        "Length alone %": _percent(summary["length"]["win_rate"]),
        "Flips %": _percent(summary["flip_rate"]),
        "Wins": summary["wins"],
        "Ties": summary["ties"],
        "Losses": summary["losses"],
        "No grade": summary["n"] - summary["n_judged"],
        **{name: _percent(part["win_rate"]) for name, part in summary["categories"].items()},
    }


def radar(rows: Sequence[JudgingRow]) -> go.Figure:
    """The categories around a circle, a line for each report; lines differ in their dashes too."""
    import plotly.graph_objects as go

    figure = go.Figure()
    single = rows[0].mode == "single"
    for number, row in enumerate(rows):
        parts = row.summary["categories"]
        names = [plain(name) for name in parts]
        values = [part["mean"] if single else _percent(part["win_rate"]) for part in parts.values()]
        label = row.model if single or not row.other else f"{row.model} vs {row.other}"
        figure.add_scatterpolar(
            r=[*values, values[0]], theta=[*names, names[0]], name=plain(short(label)),
            line={"dash": DASHES[number % len(DASHES)]}, fill="toself" if len(rows) == 1 else None,
            hovertemplate="%{theta}: %{r:.2f}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    top = [1, 10] if single else [0, 100]
    figure.update_layout(
        polar={"radialaxis": {"range": top, "tickangle": 0}, "bgcolor": "rgba(0,0,0,0)"},
        height=340, margin={"l": 56, "r": 56, "t": 24, "b": 8}, showlegend=True,
        legend={"orientation": "h", "y": -0.08},
    )  # fmt: skip
    return figure


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value
