"""The picture of a comparison: a measure in every module of every layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from jobs.models.similarity_tables import Found, Map, Subject
from pages.components.scores.plots import COLD, EVEN, WARM, plain

if TYPE_CHECKING:
    import plotly.graph_objects as go

ROW_PIXELS, LEAST_PIXELS, MOST_PIXELS = 24, 11, 1400
CHANCE = 0.5
BAR: dict[str, Any] = {
    "orientation": "h", "thickness": 10, "y": 0, "yanchor": "top", "ypad": 14, "len": 1.0,
    "xpad": 0, "tickformat": ".3~g", "nticks": 6,
}  # fmt: skip
LESS = "rgba(128,128,128,0.06)"


def shown(value: float | None) -> str:
    """Four digits are what one reads; tiny and huge ones as powers of ten."""
    return "not defined" if value is None else f"{value:.4g}"


def figure(found: Found, key: str, subject: Subject) -> go.Figure:
    """The map of a measure; layers from top to bottom as a token meets them."""
    import plotly.graph_objects as go

    measure = found.measures[key]
    drawn = found.map(measure, subject)
    heat, colours = _colours(key, drawn)
    count = len(drawn.rows)
    pixels = max(LEAST_PIXELS, min(ROW_PIXELS, MOST_PIXELS // max(1, count)))
    result = go.Figure(
        go.Heatmap(
            x=[plain(one) for one in drawn.columns],
            y=[plain(one) for one in drawn.rows],
            z=heat,
            customdata=[
                [_hover(found, measure.title, cell) for cell in row] for row in drawn.cells
            ],
            hovertemplate="%{customdata}<extra></extra>",
            hoverongaps=False,
            xgap=1,
            ygap=1,
            **colours,
        )
    )
    # every layer is named where there is room for it
    step = max(1, math.ceil(14 / pixels))
    plainly = {"automargin": True, "showgrid": False, "zeroline": False, "tickmode": "array"}
    layers = [plain(one) for one in drawn.rows[::step]]
    modules = [plain(one) for one in drawn.columns]
    result.update_yaxes(autorange="reversed", tickvals=layers, **plainly)
    result.update_xaxes(side="top", tickangle=-50, tickvals=modules, **plainly)
    result.update_layout(height=190 + pixels * count, margin={"l": 0, "r": 8, "t": 8, "b": 70})
    return result


def _hover(found: Found, title: str, cell: Any) -> str:
    if cell is None:
        return ""
    return f"{plain(cell.tensor)}<br>{plain(title)}: {shown(cell.value)}"


def _colours(key: str, drawn: Map) -> tuple[list[list[float | None]], dict[str, Any]]:
    """What is drawn for the values, and how: around zero, around chance, around one, or from zero.

    Blue against orange is told apart by the colour-blind too, and half transparent colours are
    readable on light and on dark.
    """
    values = [[None if cell is None else cell.value for cell in row] for row in drawn.cells]
    cells = [cell for row in drawn.cells for cell in row if cell is not None]
    # a few numbers, or an embedding of millions, would take all the colours for themselves
    matrices = [one for one in cells if one.is_matrix and one.in_layer] or cells
    seen = [one.value for one in matrices if one.value is not None]
    low, high = min(seen, default=0.0), max(seen, default=1.0)
    bar = dict(BAR)
    around = [[0, COLD], [0.5, EVEN], [1, WARM]]
    if key == "task_cosine":
        bound = max(0.1, abs(low), abs(high))
        return values, {"zmin": -bound, "zmax": bound, "colorscale": around, "colorbar": bar}
    if key.endswith("conflict"):
        bound = max(0.02, abs(low - CHANCE), abs(high - CHANCE))
        return values, {"zmin": CHANCE - bound, "zmax": CHANCE + bound, "colorscale": around,
                        "colorbar": bar}  # fmt: skip
    if key == "task_ratio":
        return _ratios(values, seen, bar, around)
    if key == "weight_cosine":
        return values, {"zmin": min(low, 0.999), "zmax": 1.0,
                        "colorscale": [[0, WARM], [1, LESS]], "colorbar": bar}  # fmt: skip
    return values, {"zmin": 0.0, "zmax": high or 1.0, "colorscale": [[0, LESS], [1, WARM]],
                    "colorbar": bar}  # fmt: skip


def _ratios(
    values: list[list[float | None]],
    seen: list[float],
    bar: dict[str, Any],
    around: list[list[Any]],
) -> tuple[list[list[float | None]], dict[str, Any]]:
    """Twice and half are equally far from one: their logarithm is drawn."""
    logs = [[math.log2(v) if v else None for v in row] for row in values]
    bound = max([0.5, *(abs(math.log2(value)) for value in seen if value)])
    ticks = [-bound, -bound / 2, 0.0, bound / 2, bound]
    bar |= {"tickvals": ticks, "ticktext": [f"{2**tick:.2g}" for tick in ticks]}
    return logs, {"zmin": -bound, "zmax": bound, "colorscale": around, "colorbar": bar}
