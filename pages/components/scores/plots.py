"""Pictures of scores. Colours come from the theme; patterns and text say the same again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from db.queries.board import Board, Row
from jobs.scores.comparison import score_interval
from pages.components.scores import words

if TYPE_CHECKING:
    import plotly.graph_objects as go

PATTERNS = ("", "/", ".", "x", "-", "+")
ROLES = ("merge", "expert", "instruct", "base")
CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"]}
Z = 1.96
COLD, EVEN, WARM = "rgba(74,134,184,0.72)", "rgba(128,128,128,0.10)", "rgba(221,127,69,0.72)"


def plain(text: str) -> str:
    """Text for a Plotly label, which would otherwise be read as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def short(text: str, length: int = 34) -> str:
    """A label that leaves room for the picture; the middle goes, ends tell names apart."""
    keep = (length - 1) // 2
    return text if len(text) <= length else f"{text[:keep]}…{text[-keep:]}"


def ink() -> str:
    """Colour of fine lines: Streamlit's theme reaches a bar's colour, but not its whiskers."""
    return "#ede7df" if st.context.theme.type == "dark" else "#29241f"


def bars(board: Board, rows: Sequence[Row]) -> go.Figure:
    """Macro scores with 95 % intervals, one bar per row, best on top."""
    import plotly.graph_objects as go

    rows = [row for row in rows if row.macro is not None]
    labels = _labels(rows)
    figure = go.Figure()
    for number, role in enumerate(ROLES):
        mine = [(label, row) for label, row in zip(labels, rows, strict=True)
                if row.entry.role == role]  # fmt: skip
        if not mine:
            continue
        halves = [Z * (row.macro_stderr or 0.0) * words.POINTS for _, row in mine]
        figure.add_bar(
            y=[label for label, _ in mine],
            x=[(row.macro or 0.0) * words.POINTS for _, row in mine],
            orientation="h",
            name=role,
            error_x={"type": "data", "array": halves, "thickness": 1.4, "width": 3,
                     "color": ink()},
            marker={"pattern": _pattern(number)},
            customdata=[[half, len(row.averaged), len(board.tasks) - len(board.outside)]
                        for half, (_, row) in zip(halves, mine, strict=True)],
            hovertemplate="%{y}<br>%{x:.1f} ± %{customdata[0]:.1f}<br>"
                          "%{customdata[1]} of %{customdata[2]} tasks"
                          "<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    figure.update_yaxes(categoryorder="array", categoryarray=labels[::-1], automargin=True)
    figure.update_xaxes(title="Score (mean over tasks, points), 95 % interval", rangemode="tozero")
    figure.update_layout(
        height=96 + 25 * len(rows), bargap=0.35, barmode="overlay",
        margin={"l": 0, "r": 8, "t": 8, "b": 8},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
    )  # fmt: skip
    return figure


def task_bars(tasks: Mapping[str, str], rows: Sequence[Row]) -> go.Figure:
    """Scores per task, grouped by domain, a bar per model with its 95 % interval."""
    import plotly.graph_objects as go

    short_names = words.task_labels(tasks)
    figure = go.Figure()
    for number, (label, row) in enumerate(zip(_labels(rows), rows, strict=True)):
        have = [t for t in tasks if t in row.scores]
        scores = [row.scores[t] for t in have]
        spans = [score_interval(score) or (score.value, score.value) for score in scores]
        figure.add_bar(
            x=[[plain(tasks[t]) for t in have], [plain(short_names[t]) for t in have]],
            y=[score.value * words.POINTS for score in scores],
            name=label,
            error_y={
                "type": "data",
                "symmetric": False,
                "thickness": 1.1,
                "width": 2,
                "color": ink(),
                "array": _points(span[1] - s.value for span, s in zip(spans, scores, strict=True)),
                "arrayminus": _points(
                    s.value - span[0] for span, s in zip(spans, scores, strict=True)
                ),
            },
            marker={"pattern": _pattern(number)},
            hovertemplate="%{x}<br>%{y:.1f}<extra>" + label + "</extra>",
        )
    longest = max((len(name) for name in short_names.values()), default=0)
    figure.update_yaxes(title="Score (points)", range=[0, 103])
    figure.update_xaxes(tickangle=-45, automargin=True)
    figure.update_layout(
        barmode="group", height=430, bargap=0.25, bargroupgap=0.05,
        margin={"l": 0, "r": 8, "t": 8, "b": 60 + 5 * longest},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )  # fmt: skip
    return figure


def heatmap(
    rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float | None]],
    marks: Sequence[Sequence[str]], title: str,
) -> go.Figure:  # fmt: skip
    """Differences in points, written into the cells with the mark of what is more than noise."""
    import plotly.graph_objects as go

    seen = [abs(v) for line in values for v in line if v is not None]
    bound = max([5.0, *(v * words.POINTS for v in seen)])
    text: list[list[str]] = [
        ["" if v is None else f"{words.signed(v)} {m}".strip() for v, m in zip(vs, ms, strict=True)]
        for vs, ms in zip(values, marks, strict=True)
    ]
    figure = go.Figure(
        go.Heatmap(
            x=[plain(short(c)) for c in columns],
            y=[plain(r) for r in rows],
            z=[[None if v is None else v * words.POINTS for v in line] for line in values],
            text=text,
            texttemplate="%{text}",
            textfont={"size": 12, "color": ink()},
            zmid=0, zmin=-bound, zmax=bound,
            # Blue against orange: told apart by the colour-blind too. Half transparent, so that
            # the same ink is readable on every cell, in light and in dark.
            colorscale=[[0, COLD], [0.5, EVEN], [1, WARM]],
            colorbar={"title": {"text": title}, "thickness": 12},
            xgap=2, ygap=2, hoverongaps=False,
            hovertemplate="%{y}<br>%{x}<br>%{text}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)
    figure.update_xaxes(side="top", automargin=True, showgrid=False)
    figure.update_layout(height=90 + 27 * len(rows), margin={"l": 0, "r": 0, "t": 8, "b": 8})
    return figure


def _pattern(number: int) -> dict[str, Any]:
    return {"shape": PATTERNS[number], "fillmode": "overlay", "fgcolor": ink(), "fgopacity": 0.35,
            "solidity": 0.2, "size": 7}  # fmt: skip


def _points(values: Iterable[float]) -> list[float]:
    return [value * words.POINTS for value in values]


def _labels(rows: Sequence[Row]) -> list[str]:
    """Distinct labels: the configuration is added where a name stands twice."""
    names = [row.entry.name for row in rows]
    return [
        plain(short(row.entry.name if names.count(row.entry.name) == 1
                    else f"{row.entry.name} ({row.configuration})", 44))
        for row in rows
    ]  # fmt: skip
