"""How a study's pictures look: one ink for each theme, marks beside colours, names as plain text.

Backgrounds are transparent and areas half transparent, so that only ink, grid and the colours of
lines differ between light and dark; `darkened` swaps them in a finished figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import plotly.graph_objects as go

Theme = Literal["light", "dark"]

INK: Mapping[str, str] = {"light": "#29241f", "dark": "#ede7df"}
QUIET: Mapping[str, str] = {"light": "#6e665e", "dark": "#a89f95"}
GRID: Mapping[str, str] = {"light": "#e0d9cf", "dark": "#3c3631"}
PAPER: Mapping[str, str] = {"light": "#fdfcfa", "dark": "#181513"}
COLOURS: Mapping[str, tuple[str, ...]] = {
    "light": ("#b2461b", "#2f6691", "#6b7b1f", "#75508e", "#23857c", "#a87410", "#8c2f4c",
              "#4f7d3b", "#5b4a3b", "#3b4fa8"),
    "dark": ("#e5814e", "#6ca3ca", "#a9ba56", "#b795ce", "#54b8aa", "#dcb455", "#e08fa7",
             "#8cc47b", "#d3c2af", "#94a4ec"),
}  # fmt: skip
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon",
           "triangle-down", "pentagon")  # fmt: skip
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
COLD, EVEN, WARM = "rgba(74,134,184,0.75)", "rgba(128,128,128,0.10)", "rgba(221,127,69,0.75)"
COLD_FULL, WARM_FAINT = "rgba(74,134,184,0.9)", "rgba(221,127,69,0.22)"
CLEAR = "rgba(0,0,0,0)"
POINTS = 100.0
"""Scores between 0 and 1 are told in points of a hundred."""
MANY = 1500
"""More marks than these are drawn by the graphics card (WebGL)."""
CONFIG: Mapping[str, Any] = {
    "displaylogo": False,
    "responsive": True,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
    "toImageButtonOptions": {"format": "svg", "filename": "picture"},
}
"""For whoever shows a picture: `st.plotly_chart(config=...)`, `Plotly.newPlot`."""


def darkened(theme: Theme = "dark") -> dict[str, str]:
    """Colour in the light theme -> the same in another."""
    pairs = [(one["light"], one[theme]) for one in (INK, QUIET, GRID, PAPER)]
    return dict(pairs) | dict(zip(COLOURS["light"], COLOURS[theme], strict=True))


def colour(number: int, theme: Theme) -> str:
    """Of the n-th kind; from the eleventh on they come again, with other symbols and dashes."""
    return COLOURS[theme][number % len(COLOURS[theme])]


def symbol(number: int) -> str:
    """Mark of the n-th kind."""
    return SYMBOLS[number % len(SYMBOLS)]


def dash(number: int) -> str:
    """Line of the n-th kind."""
    return DASHES[number % len(DASHES)]


def faint(hexed: str, opacity: float) -> str:
    """A colour, half transparent; black for ink keeps its own name so that themes can swap it."""
    red, green, blue = (int(hexed[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def plain(text: str) -> str:
    """Text for a Plotly label, which would otherwise be read as markup."""
    clean = "".join(one if one.isprintable() else " " for one in str(text))
    return clean.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def short(text: str, length: int = 40) -> str:
    """A label that leaves room for the picture; the middle goes, ends tell names apart."""
    keep = (length - 1) // 2
    return text if len(text) <= length else f"{text[:keep]}…{text[-keep:]}"


def label(text: str, length: int = 40) -> str:
    """A short label as plain text."""
    return plain(short(text, length))


def signed(value: float | None, digits: int = 1) -> str:
    """A difference of scores in points, with a real minus; — where it is not known."""
    if value is None or value != value:
        return "—"
    text = f"{value * POINTS:+.{digits}f}"
    return text.replace("-", "−")


def points(value: float | None, digits: int = 1) -> str:
    """A score in points."""
    return "—" if value is None or value != value else f"{value * POINTS:.{digits}f}"


def told_p(p: float | None) -> str:
    """`p = 0.03`, `p < 0.001`."""
    if p is None or p != p:
        return "p unknown"
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def span(low: float | None, high: float | None) -> str:
    """An interval of differences in points."""
    return f"{signed(low)} to {signed(high)}"


def width(text: str, size: float) -> float:
    """About as many pixels as a bold text of that size takes; full-width characters take two."""
    import unicodedata

    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in text)
    return size * (0.56 * (len(text) - wide) + 1.05 * wide)


def some(values: Sequence[float]) -> list[float | None]:
    """Values of a trace; a trace of nothing still stands in the legend."""
    return list(values) or [None]


def empty(text: str, theme: Theme) -> go.Figure:
    """A picture that says why there is nothing to see."""
    figure = go.Figure()
    figure.add_annotation(text=plain(text), showarrow=False, x=0.5, y=0.5, xref="paper",
                          yref="paper", font={"size": 14, "color": QUIET[theme]})  # fmt: skip
    finish(figure, theme, 160)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure


def finish(
    figure: go.Figure, theme: Theme, height: float, *, automargin: bool = True, **layout: Any
) -> go.Figure:
    """Theme, size and margins; what all pictures have in common.

    Args:
        figure: that is finished.
        theme: light or dark.
        height: in pixels.
        automargin: whether the browser makes room for the axes' labels; False where the margins
            leave it.
        layout: more of it.
    """
    figure.update_layout(
        **(
            {
                "template": "none",
                "height": int(height),
                "paper_bgcolor": CLEAR,
                "plot_bgcolor": CLEAR,
                "font": {"color": INK[theme], "size": 12,
                         "family": "Source Sans, Source Sans Pro, system-ui, sans-serif"},
                "margin": {"l": 8, "r": 12, "t": 32, "b": 8},
                "hoverlabel": {"bgcolor": PAPER[theme], "bordercolor": QUIET[theme],
                               "font": {"color": INK[theme], "size": 12}, "align": "left"},
                "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0,
                           "xanchor": "left", "itemsizing": "constant"},
                "hovermode": "closest",
                "clickmode": "event+select",
                "dragmode": "zoom",
                "modebar": {"bgcolor": CLEAR, "color": QUIET[theme], "activecolor": INK[theme]},
                "colorway": list(COLOURS[theme]),
            }
            | layout
        )
    )  # fmt: skip
    # looking for labels that leave the picture would measure each of them once more
    common = {"gridcolor": GRID[theme], "zerolinecolor": QUIET[theme], "linecolor": QUIET[theme],
              "tickcolor": QUIET[theme], "automargin": automargin,
              "ticklabeloverflow": "allow"}  # fmt: skip
    figure.update_xaxes(**common)
    figure.update_yaxes(**common)
    return figure


def marks(
    x: Any, y: Any, customdata: Any, marker: Mapping[str, Any], *, many: bool, **more: Any
) -> Any:  # fmt: skip
    """A trace of marks, by the graphics card where there are many."""
    kind = go.Scattergl if many else go.Scatter
    return kind(x=x, y=y, customdata=customdata, marker=dict(marker),
                **({"mode": "markers"} | more))  # fmt: skip
