"""Mean score along a method's options, with bands and the parents as lines; and robustness.

A mark of a curve stands for all merges there: customdata is [their keys, text].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from studies.analysis import sensitivity as analysis
from studies.analysis.sensitivity import Curve, Robustness, Sensitivity
from studies.pictures import naming, theme
from studies.pictures.picture import Choice, Rows
from studies.pictures.theme import Theme
from studies.results import Results

VIEWS = {"curves": "Curves", "robustness": "Robustness of each method"}
MOST_BANDS = 5
"""Curves of a panel that have bands: of more nobody could tell whose is whose."""


def analyse(results: Results) -> Sensitivity:
    """See `studies.analysis.sensitivity`."""
    return analysis.sensitivity(results)


def tables(found: Sensitivity) -> Mapping[str, Rows]:
    """A row for every place of a curve, and one for every method and stage."""
    parents = [{"parent": name, "mean": value} for name, value in found.parents]
    return {"sensitivity": found.table(), "robustness": found.robustness_table(),
            "parent_scores": parents}  # fmt: skip


def choices(found: Sensitivity) -> tuple[Choice, ...]:
    """Curves or robustness; one stage or all."""
    stages = list(dict.fromkeys(one.stage for one in found.robustness))
    each = {"": "All stages"} | {one: naming.stage(one) for one in stages}
    return (Choice("view", "Show", VIEWS), Choice("stage", "Stage", each, ("",)))


def figure(
    found: Sensitivity, theme_: Theme = "light", *, view: str = "curves", stage: str = ""
) -> go.Figure:
    """A panel for every method and option; or three figures for every method and stage."""
    if view == "robustness":
        return _robustness([r for r in found.robustness if stage in ("", r.stage)], theme_)
    curves = [one for one in found.curves if stage in ("", one.stage) and len(one.places) > 1]
    if not curves:
        return theme.empty("No option has two values scored on the same models yet.", theme_)
    panels: dict[tuple[str, str], list[Curve]] = {}
    for one in curves:
        panels.setdefault((one.method, one.option), []).append(one)
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    result = make_subplots(
        rows=rows, cols=columns, shared_yaxes="all", horizontal_spacing=0.04,
        vertical_spacing=min(0.12, 90 / (300 * rows)),
        subplot_titles=[f"{theme.plain(naming.method(method))}" for method, _ in panels],
    )  # fmt: skip
    stages = list(dict.fromkeys(one.stage for one in found.curves))
    told: set[str] = set()
    for number, ((_, option), some) in enumerate(panels.items()):
        row, column = number // columns + 1, number % columns + 1
        _panel(result, some, stages, theme_, row, column, told)
        _parents(result, found.parents, some, theme_, row, column, number == 0)
        result.update_xaxes(title={"text": theme.plain(option), "standoff": 4}, row=row, col=column)
    result.update_yaxes(title={"text": "Mean score (points)"}, col=1)
    result.update_annotations(font={"size": 13})
    return theme.finish(result, theme_, 90 + 300 * rows,
                        margin={"l": 8, "r": 12, "t": 92, "b": 8},
                        legend={"orientation": "h", "y": 1 + 34 / (300 * rows), "x": 0,
                                "yanchor": "bottom"})  # fmt: skip


def _panel(
    result: go.Figure, curves: Sequence[Curve], stages: Sequence[str], theme_: Theme, row: int,
    column: int, told: set[str],
) -> None:  # fmt: skip
    for curve in curves:
        number = stages.index(curve.stage)
        colour = theme.colour(number, theme_)
        some = [one for one in curve.places if one.low is not None and one.high is not None]
        if len(curves) <= MOST_BANDS and len(some) > 1:
            edge = [one.high or 0.0 for one in some] + [one.low or 0.0 for one in reversed(some)]
            result.add_scatter(
                x=[one.x for one in (*some, *reversed(some))], y=[v * theme.POINTS for v in edge],
                fill="toself", fillcolor=colour, opacity=0.13, line={"width": 0}, mode="lines",
                hoverinfo="skip", showlegend=False, legendgroup=curve.stage, row=row, col=column,
            )  # fmt: skip
        result.add_scatter(
            x=[one.x for one in curve.places], y=[one.mean * theme.POINTS for one in curve.places],
            mode="lines+markers", name=naming.stage(curve.stage), legendgroup=curve.stage,
            showlegend=curve.stage not in told, row=row, col=column,
            line={"color": colour, "dash": theme.dash(number), "width": 2},
            marker={"symbol": theme.symbol(number), "size": 8, "color": colour},
            customdata=_said(curve), hovertemplate="%{customdata[1]}<extra></extra>",
        )  # fmt: skip
        told.add(curve.stage)


def _said(curve: Curve) -> list[list[str]]:
    fixed = "".join(f", {theme.plain(name)} {value:g}" for name, value in curve.fixed)
    found = []
    for one in curve.places:
        lines = [
            f"{naming.stage(curve.stage)}, {theme.plain(naming.method(curve.method))}, "
            f"{theme.plain(curve.option)} {one.x:g}{fixed}",
            f"mean {theme.points(one.mean)} (95 % interval {theme.points(one.low)} to "
            f"{theme.points(one.high)})",
            f"single merges {theme.points(one.lowest)} to {theme.points(one.highest)}, n = {one.n}",
        ]
        found.append([" ".join(one.keys), "<br>".join(lines)])
    return found


def _parents(
    result: go.Figure, parents: Sequence[tuple[str, float]], curves: Sequence[Curve],
    theme_: Theme, row: int, column: int, first: bool,
) -> None:  # fmt: skip
    """Lines over the width of the panel, each with its name at its right end."""
    xs = [place.x for curve in curves for place in curve.places]
    left, right = min(xs), max(xs)
    reach = right + 0.22 * (right - left)
    for number, (name, value) in enumerate(sorted(parents, key=lambda one: one[1])):
        result.add_scatter(
            x=[left, reach], y=[value * theme.POINTS] * 2, mode="lines+text", showlegend=first,
            name="parents", legendgroup="parents",
            text=["", theme.label(name, 12)],
            textposition="top left" if number % 2 else "bottom left",
            textfont={"size": 10, "color": theme.QUIET[theme_]},
            line={"color": theme.QUIET[theme_], "width": 1, "dash": "dot"},
            customdata=[["", ""]] * 2,
            hovertemplate=f"{theme.plain(name)}: {theme.points(value)}<extra></extra>".replace(
                "%{", "% {"
            ),
            row=row, col=column,
        )  # fmt: skip
        first = False


def _robustness(rows: Sequence[Robustness], theme_: Theme) -> go.Figure:
    """Spread, share above the best parent, and mean height over it: one line a method and stage."""
    if not rows:
        return theme.empty("No merge is scored yet.", theme_)
    ordered = sorted(rows, key=lambda one: (one.stage, one.method))
    result = make_subplots(
        rows=1, cols=3, shared_yaxes=True, horizontal_spacing=0.05,
        subplot_titles=["Best − worst option", "Merges above their<br>best constituent",
                        "Mean height − best<br>constituent"],
    )  # fmt: skip
    y = list(range(len(ordered)))
    bars: list[list[float | None]] = [
        [one.spread * theme.POINTS for one in ordered],
        [None if one.beats is None else one.beats * 100 for one in ordered],
        [None if one.area_over_best is None else one.area_over_best * theme.POINTS
         for one in ordered],
    ]  # fmt: skip
    said = [["", _robust_text(one)] for one in ordered]
    for column, values in enumerate(bars, 1):
        result.add_bar(
            x=values, y=y, orientation="h", showlegend=False, customdata=said, row=1, col=column,
            marker={"color": theme.colour(column - 1, theme_), "opacity": 0.75},
            text=[_number(value, column) for value in values], textposition="auto",
            textfont={"color": theme.INK[theme_], "size": 11}, cliponaxis=False,
            hovertemplate="%{customdata[1]}<extra></extra>",
        )  # fmt: skip
    marker = {"symbol": "line-ns-open", "size": 15, "color": theme.INK[theme_],
              "line": {"width": 2, "color": theme.INK[theme_]}}  # fmt: skip
    result.add_scatter(
        x=[None if one.noise_sd is None else one.noise_sd * theme.POINTS for one in ordered], y=y,
        mode="markers", name="sd that the items' noise alone would show", marker=marker,
        hoverinfo="skip", row=1, col=1,
    )  # fmt: skip
    result.add_scatter(
        x=[None if one.beats_clearly is None else one.beats_clearly * 100 for one in ordered], y=y,
        mode="markers", name="share above it beyond noise", hoverinfo="skip", row=1, col=2,
        marker=marker | {"symbol": "diamond-open", "size": 8},
    )  # fmt: skip
    for column, title in enumerate(("points", "%", "points"), 1):
        result.update_xaxes(title={"text": title, "standoff": 2}, row=1, col=column)
    result.update_xaxes(range=[0, 104], row=1, col=2)
    result.update_yaxes(
        range=[len(ordered) - 0.4, -0.6], tickvals=y, showgrid=False, zeroline=False,
        ticktext=[theme.label(f"{naming.stage(one.stage)}, {naming.method(one.method)}", 34)
                  for one in ordered],
    )  # fmt: skip
    result.update_annotations(font={"size": 12})
    return theme.finish(result, theme_, 150 + 26 * len(ordered),
                        margin={"l": 8, "r": 12, "t": 50, "b": 60},
                        legend={"orientation": "h", "y": 0, "yref": "container", "x": 0,
                                "yanchor": "bottom"})  # fmt: skip


def _number(value: float | None, column: int) -> str:
    if value is None:
        return ""
    return f"{value:.0f} %" if column == 2 else f"{value:.1f}".replace("-", "−")


def _robust_text(one: Robustness) -> str:
    swept = ", ".join(theme.plain(name) for name in one.swept) or "nothing"
    return (
        f"{naming.stage(one.stage)}, {theme.plain(naming.method(one.method))}<br>"
        f"{one.n_grid} combinations of {swept}, {one.n} merges<br>"
        f"best {theme.points(one.best)}, worst {theme.points(one.worst)}, "
        f"spread {theme.points(one.spread)}<br>"
        f"sd {theme.points(one.sd)}, by noise alone {theme.points(one.noise_sd)}"
    )
