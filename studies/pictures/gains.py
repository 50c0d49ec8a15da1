"""Gain and OG of the merges on every task: a heatmap, grouped by domain and stage.

A cell is clicked through a mark above it that cannot be seen: its customdata is [key of the merge,
text, name of the task].
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from studies.analysis import gains as analysis
from studies.analysis.chosen import best_by, groups
from studies.pictures import naming, theme
from studies.pictures.picture import Choice, Rows
from studies.pictures.theme import Theme
from studies.results import Results, Scored

OF = {"gain": "Gain, over the mean of the constituents", "og": "OG, over the best constituent"}
FEW_ROWS, TALLEST = 170, 4200
MANY_CELLS = 6000
"""Of more cells less is told on hovering, so that a figure stays below 3 MB."""
HEADING, ROOM = 1.0, 0.35
TAGS = re.compile("</?b>")


@dataclass(frozen=True, eq=False)
class GainsShown:
    """The gains, and which merges stand for what they merge.

    Attributes:
        gains: of all merges.
        chosen: keys of the best merge of each method and set of constituents on the search items.
    """

    gains: analysis.Gains
    chosen: frozenset[str]


def analyse(results: Results) -> GainsShown:
    """Gains of all merges; each method's best of each set of constituents is the chosen one."""
    chosen = set()
    for members in groups(results).values():
        best = best_by(results, members, lambda one: one.point.method if one.point else "")
        chosen |= {pick.model.key for pick in best.values()}
    return GainsShown(analysis.gains(results), frozenset(chosen))


def tables(found: GainsShown) -> Mapping[str, Rows]:
    """A row for every merge and task, and one for every merge."""
    return {"gains": found.gains.table(), "macro_gains": found.gains.macro_table()}


def choices(found: GainsShown) -> tuple[Choice, ...]:
    """Which difference, which merges, which stage."""
    keys = {one.key for one in found.gains.points}
    rows = {"chosen": "Best of each method", "all": "All merges"}
    if keys <= found.chosen:
        rows = {"all": "All merges"}
    stages = list(dict.fromkeys(_stage(one) for one in found.gains.points))
    each = {"": "All stages"} | {one: naming.stage(one) for one in stages}
    return (
        Choice("of", "Difference", OF),
        Choice("rows", "Merges", rows),
        Choice("stage", "Stage", each, ("",)),
    )


def figure(
    found: GainsShown, theme_: Theme = "light", *, of: str = "gain", rows: str = "chosen",
    stage: str = "",
) -> go.Figure:  # fmt: skip
    """The heatmap. Corrections are over all merges of the study, whichever are shown."""
    gains = found.gains
    places = [
        i for i, one in enumerate(gains.points)
        if (rows == "all" or one.key in found.chosen) and stage in ("", _stage(one))
    ]  # fmt: skip
    first: dict[tuple[str, str], int] = {}
    for i in places:  # what merges the same stands together, whatever the method
        first.setdefault((_stage(gains.points[i]), naming.group(gains.points[i])), i)
    places.sort(key=lambda i: first[_stage(gains.points[i]), naming.group(gains.points[i])])
    if not places or not gains.tasks:
        return theme.empty("No merge has all its constituents scored yet.", theme_)
    estimates = gains.gain if of == "gain" else gains.gap
    rows_at, heads = _row_places([gains.points[i] for i in places])
    columns_at, domains = _column_places([one.domain for one in gains.tasks])
    x = [*columns_at, max(columns_at) + 1 + ROOM]
    names = naming.tasks(gains.tasks)
    values = np.column_stack([estimates.value[places], _macro(gains, of).value[places]])
    clear = np.column_stack([estimates.clear[places], _macro(gains, of).clear[places]])
    sure = np.column_stack([estimates.sure[places], _macro(gains, of).sure[places]])
    px = _row_pixels(len(places))
    result = go.Figure()
    _heat(result, values, x, rows_at, theme_, px, OF[of].split(",")[0])
    _marks(result, clear & ~sure, x, rows_at, theme_, px, "95 % interval excludes zero", True)
    _marks(result, sure, x, rows_at, theme_, px, "also after Holm's correction", False)
    cells = _clickable(found, places, of, x, rows_at)
    if len(places) * len(x) > MANY_CELLS:
        _in_heatmap(result, cells, len(x), x, rows_at)
    else:
        result.add_trace(cells)
    bottom = max(rows_at) + 0.5
    left = _axes(result, places, gains, rows_at, heads, x, names, px, bottom)
    for name, at in domains:
        result.add_annotation(x=at, y=1, yref="paper", yshift=_room(names), yanchor="bottom",
                              text=f"<b>{theme.label(name, 14)}</b>", showarrow=False)  # fmt: skip
    pixels = (bottom + 0.5) * px
    return theme.finish(
        result, theme_, pixels + _room(names) + 120,
        margin={"l": left, "r": 12, "t": _room(names) + 52, "b": 62},
        # found margins cost a drawing of everything each time they are found anew
        automargin=False,
        hoverdistance=-1 if len(places) * len(x) <= MANY_CELLS else 3,
        # below this width numbers run into each other: whoever shows it scrolls sideways instead
        meta={"min_width": 270 + 25 * len(x)},
        legend={"orientation": "h", "y": 0, "yanchor": "top", "x": 0, "yref": "paper"},
    )  # fmt: skip


def _stage(one: Scored) -> str:
    return "" if one.point is None else str(one.point.stage)


def _macro(gains: analysis.Gains, of: str) -> Any:
    return gains.macro_gain if of == "gain" else gains.macro_gap


def _row_pixels(n: int) -> float:
    return 20.0 if n <= 60 else 17.0 if n <= FEW_ROWS else max(3.0, min(12.0, TALLEST / n))


def _row_places(points: Sequence[Scored]) -> tuple[list[float], list[tuple[str, float]]]:
    """Where each merge stands, and each heading: a line above the merges of a group."""
    at, heads, last, line = [], [], None, -HEADING
    for one in points:
        group = (_stage(one), naming.group(one))
        if group != last:
            stage = f"{naming.stage(group[0])}: " if last is None or last[0] != group[0] else ""
            line += HEADING
            heads.append((stage + group[1], line))
            last = group
        line += 1
        at.append(line)
    return at, heads


def _column_places(domains: Sequence[str]) -> tuple[list[float], list[tuple[str, float]]]:
    """Where each task stands, with room between domains, and each domain's middle."""
    at: list[float] = []
    runs: list[tuple[str, list[float]]] = []
    for domain in domains:
        new = not runs or runs[-1][0] != domain
        place = 0.0 if not at else at[-1] + 1 + (ROOM if new else 0)
        at.append(place)
        if new:
            runs.append((domain, []))
        runs[-1][1].append(place)
    return at, [(name, sum(some) / len(some)) for name, some in runs]


def _heat(
    result: go.Figure, values: Any, x: Sequence[float], y: Sequence[float], theme_: Theme,
    px: float, title: str,
) -> None:  # fmt: skip
    """The cells and their numbers; what only makes room has neither number nor colour."""
    known = np.abs(values[np.isfinite(values)])
    bound = max(0.02, float(np.quantile(known, 0.98)) if known.size else 0.0)
    # cells of one size on axes with gaps: edges around each, and nothing between
    z, edges_x, edges_y = _gapped(values, x, y)
    result.add_heatmap(
        z=(z * theme.POINTS).astype(np.float32), x=edges_x, y=edges_y, hoverinfo="skip",
        zmid=0, zmin=-bound * theme.POINTS, zmax=bound * theme.POINTS,
        colorscale=[[0, theme.COLD], [0.5, theme.EVEN], [1, theme.WARM]],
        colorbar={"title": {"text": f"{title} (points)", "side": "top"}, "thickness": 9,
                  "len": 0.36, "orientation": "h", "x": 1, "xanchor": "right", "y": 0,
                  "yanchor": "top",                  "outlinewidth": 0},
        xgap=1 if px > 8 else 0, ygap=1 if px > 8 else 0, showscale=True,
    )  # fmt: skip
    if px < 14:
        return
    # no plus: at 700 pixels a cell is as wide as three characters
    text = [
        "" if v != v else f"{v * theme.POINTS + 0.0:.0f}".replace("-", "−") for v in values.flat
    ]
    result.add_scatter(
        x=np.tile(x, len(y)), y=np.repeat(np.asarray(y) + 0.15, len(x)), mode="text",
        hoverinfo="skip", text=["0" if one == "−0" else one for one in text],
        textfont={"size": 10, "color": theme.INK[theme_]}, showlegend=False, cliponaxis=False,
    )  # fmt: skip


def _gapped(
    values: Any, x: Sequence[float], y: Sequence[float]
) -> tuple[Any, list[float], list[float]]:
    """The cells between edges: a column of nothing wherever two places are more than 1 apart."""

    def edges(at: Sequence[float]) -> tuple[list[float], list[int]]:
        made, source = [at[0] - 0.5], []
        for i, place in enumerate(at):
            if place - 0.5 > made[-1] + 1e-9:
                made.append(place - 0.5)
                source.append(-1)
            made.append(place + 0.5)
            source.append(i)
        return made, source

    (edges_x, columns), (edges_y, rows) = edges(x), edges(y)
    padded = np.full((values.shape[0] + 1, values.shape[1] + 1), np.nan)
    padded[:-1, :-1] = values
    return padded[np.ix_(rows, columns)], edges_x, edges_y


def _marks(
    result: go.Figure, where: Any, x: Sequence[float], y: Sequence[float], theme_: Theme, px: float,
    name: str, hollow: bool,
) -> None:  # fmt: skip
    """A dot above a cell's number, or in the middle of a cell without one."""
    row, column = np.nonzero(where)
    dy = -0.36 if px >= 14 else 0.0
    size = 4 if px >= 14 else 4 if px > 6 else 3
    if row.size > theme.MANY:
        _as_one_line(result, column, row, x, y, theme_, name, hollow)
        return
    result.add_trace(theme.marks(
        np.asarray(x, dtype=np.float32)[column],
        np.asarray(y, dtype=np.float32)[row] + np.float32(dy), None,
        {"symbol": "circle-open" if hollow else "circle", "size": size,
         "color": theme.INK[theme_], "line": {"width": 1, "color": theme.INK[theme_]}},
        many=False, name=name, hoverinfo="skip",
    ))  # fmt: skip


def _as_one_line(
    result: go.Figure, column: Any, row: Any, x: Sequence[float], y: Sequence[float],
    theme_: Theme, name: str, quiet: bool,
) -> None:  # fmt: skip
    """Thousands of dots as short strokes of one line, which a browser draws at once."""
    ink = (theme.QUIET if quiet else theme.INK)[theme_]
    middle = np.asarray(x, dtype=np.float32)[column]
    nothing = np.full(middle.shape, np.nan, dtype=np.float32)
    half = np.float32(0.12)
    result.add_scatter(
        x=np.column_stack([middle - half, middle + half, nothing]).ravel(),
        y=np.repeat(np.asarray(y, dtype=np.float32)[row], 3), mode="lines", name=name,
        hoverinfo="skip", connectgaps=False,
        line={"width": 2, "simplify": False, "color": ink},
    )  # fmt: skip


def _clickable(
    found: GainsShown, places: Sequence[int], of: str, x: Sequence[float], y: Sequence[float]
) -> Any:
    gains = found.gains
    estimates, macro = (gains.gain, gains.macro_gain) if of == "gain" else (
        gains.gap, gains.macro_gap
    )  # fmt: skip
    told = _told if len(places) * len(x) <= MANY_CELLS else _briefly
    brief = naming.tasks(gains.tasks)
    data = []
    for i in places:
        one = gains.points[i]
        who = theme.plain(one.label if told is _told else theme.short(one.label, 36))
        for j, task in enumerate(gains.tasks):
            name = theme.plain(task.name if told is _told else brief[j])
            text = f"{who}<br>{name}: {told(estimates, (i, j))}"
            if told is _told:
                if of == "og" and gains.best[i, j] >= 0:
                    text += f"<br>over {theme.plain(gains.constituents[i][gains.best[i, j]])}"
                text += f", n = {gains.n[i, j]}"
            data.append([one.key, text, task.name])
        data.append([one.key, f"{who}<br>mean of the shared tasks: {told(macro, i)}", ""])
    return theme.marks(
        np.tile(np.asarray(x, dtype=np.float32), len(places)),
        np.repeat(np.asarray(y, dtype=np.float32), len(x)), data,
        {"symbol": "square", "size": 13, "opacity": 0, "color": "rgba(128,128,128,0.5)"},
        many=False, name="", showlegend=False,
        hovertemplate="%{customdata[1]}<extra></extra>",
        selected={"marker": {"opacity": 0.6}}, unselected={"marker": {"opacity": 0}},
    )  # fmt: skip


def _in_heatmap(
    result: go.Figure, cells: Any, width: int, x: Sequence[float], y: Sequence[float]
) -> None:
    """Twenty thousand marks are slow to draw: cells tell themselves, a mark a row is clicked."""
    places = np.arange(len(y) * width, dtype=np.float64).reshape(len(y), width)
    order = np.nan_to_num(_gapped(places, x, y)[0], nan=-1).astype(np.int64)
    said = [*(one[1] for one in cells.customdata), ""]
    result.data[0].update(
        text=[[said[i] for i in line] for line in order], hoverinfo=None,
        hovertemplate="%{text}<extra></extra>", hoverongaps=False,
    )  # fmt: skip
    rows = [list(one) for one in cells.customdata[width - 1 :: width]]
    result.add_scatter(
        x=[x[-1]] * len(y), y=list(y), customdata=rows, mode="markers", showlegend=False,
        marker={"symbol": "square", "size": 5, "opacity": 0, "color": "rgba(128,128,128,0.5)"},
        hovertemplate="%{customdata[1]}<extra></extra>",
        selected={"marker": {"opacity": 0.6}}, unselected={"marker": {"opacity": 0}},
    )  # fmt: skip


def _told(estimates: Any, at: Any) -> str:
    value, low, high = (getattr(estimates, one)[at] for one in ("value", "low", "high"))
    if value != value:
        return "not known"
    told = f"{theme.signed(value)} (95 % interval {theme.span(low, high)})"
    holm = theme.told_p(estimates.holm[at])
    return f"{told}, {theme.told_p(estimates.p[at])}, after Holm's correction {holm}"


def _briefly(estimates: Any, at: Any) -> str:
    """What is told of each of twenty thousand cells; the table has the rest."""
    value, low, high = (getattr(estimates, one)[at] * theme.POINTS for one in
                        ("value", "low", "high"))  # fmt: skip
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})" if value == value else "not known"


def _room(names: Sequence[str]) -> float:
    """Pixels that the slanted names of tasks take above the picture."""
    return 22 + 4.6 * min(18, max((len(one) for one in names), default=0))


def _axes(
    result: go.Figure, places: Sequence[int], gains: analysis.Gains, rows_at: Sequence[float],
    heads: Sequence[tuple[str, float]], x: Sequence[float], names: Sequence[str], px: float,
    bottom: float,
) -> float:  # fmt: skip
    """Label the axes; returns the pixels that the labels of the rows take."""
    labelled = px >= 9
    ticks = [(at, f"<b>{theme.label(name, 38)}</b>") for name, at in heads]
    if labelled:
        ticks += [(at, theme.label(naming.how(gains.points[i]), 40))
                  for i, at in zip(places, rows_at, strict=True)]  # fmt: skip
    result.update_yaxes(
        range=[bottom, -0.6], tickvals=[at for at, _ in ticks], ticktext=[t for _, t in ticks],
        showgrid=False, zeroline=False, tickfont={"size": 11 if px >= 14 else 10},
    )  # fmt: skip
    result.update_xaxes(
        range=[-0.6, x[-1] + 0.6], side="top", tickangle=-60, tickvals=list(x), showgrid=False,
        ticktext=[*(theme.label(one, 18) for one in names), "<b>mean</b>"], zeroline=False,
        tickfont={"size": 11},
    )  # fmt: skip
    size = 11 if px >= 14 else 10
    longest = max(theme.width(html.unescape(TAGS.sub("", text)), size) for _, text in ticks)
    return 14 + longest
