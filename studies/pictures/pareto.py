"""Domain score against general score; every mark opens its recipe: customdata is [key, text]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from studies.analysis import pareto as analysis
from studies.analysis.intervals import Z
from studies.analysis.pareto import Pareto, Spot
from studies.pictures import naming, theme
from studies.pictures.picture import Choice, Rows
from studies.pictures.theme import Theme
from studies.results import Results

HOVER = "%{customdata[1]}<extra></extra>"


@dataclass(frozen=True)
class Paretos:
    """The plane for all domains together ("") and for each expert's."""

    by_domain: Mapping[str, Pareto]


def analyse(results: Results) -> Paretos:
    """See `studies.analysis.pareto`; domains without tasks have no plane."""
    wanted: list[str | None] = [None, *results.experts]
    found = {one or "": analysis.pareto(results, one) for one in wanted}
    return Paretos({name: one for name, one in found.items() if one.spots or not name})


def tables(found: Paretos) -> Mapping[str, Rows]:
    """A row for every model, in each plane."""
    return {"pareto": [{"domains": " + ".join(one.domains)} | row
                       for one in found.by_domain.values() for row in one.table()]}  # fmt: skip


def choices(found: Paretos) -> tuple[Choice, ...]:
    """Which domain."""
    return (Choice("domain", "Domain", {one: one or "All domains" for one in found.by_domain}),)


def figure(found: Paretos, theme_: Theme = "light", *, domain: str = "") -> go.Figure:
    """The plane, the front as a line, parents with their names."""
    plane = found.by_domain.get(domain)
    if plane is None or not plane.spots:
        return theme.empty("The suite has no tasks of such a domain, or no general ones.", theme_)
    result = go.Figure()
    front = plane.front
    result.add_scatter(
        x=[one.general * theme.POINTS for one in front],
        y=[one.domain * theme.POINTS for one in front], mode="lines", hoverinfo="skip",
        line={"color": theme.QUIET[theme_], "width": 1.5, "dash": "dot"},
        name=f"not beaten on both ({len(front)})",
    )  # fmt: skip
    merges = [one for one in plane.spots if one.role == "point"]
    methods = list(dict.fromkeys(one.method or "" for one in merges))
    stages = list(dict.fromkeys(one.stage or "" for one in merges))
    many = len(merges) > theme.MANY / 3
    for at, stage in enumerate(stages):
        for number, method in enumerate(methods):
            mine = [one for one in merges if (one.stage, one.method) == (stage, method)]
            if mine:
                name = naming.stage(stage)
                title = name if stage == "instruct" else f"{name}, {naming.method(method)}"
                _marks(result, mine, title, at, number, theme_, many)
    _front(result, front, theme_)
    _parents(result, [one for one in plane.spots if one.role != "point"], theme_)
    result.update_xaxes(title={"text": f"General score (points, {plane.n_general} tasks)"})
    names = " + ".join(theme.label(one, 16) for one in plane.domains)
    result.update_yaxes(title={"text": f"Domain score (points, {plane.n_domain} tasks of {names})"})
    return theme.finish(result, theme_, 620, margin={"l": 8, "r": 20, "t": 16, "b": 130},
                        legend={"orientation": "h", "y": 0, "yref": "container",
                                "yanchor": "bottom", "x": 0})  # fmt: skip


def _marks(
    result: go.Figure, mine: Sequence[Spot], title: str, stage: int, method: int, theme_: Theme,
    many: bool,
) -> None:  # fmt: skip
    result.add_trace(theme.marks(
        [one.general * theme.POINTS for one in mine], [one.domain * theme.POINTS for one in mine],
        [[one.key, _text(one)] for one in mine],
        {"symbol": theme.symbol(method), "size": 8, "color": theme.colour(stage, theme_),
         "opacity": 0.7},
        many=many, name=theme.plain(title), hovertemplate=HOVER,
    ))  # fmt: skip


def _front(result: go.Figure, front: Sequence[Spot], theme_: Theme) -> None:
    """Rings and whiskers: within noise a neighbour may be as good."""
    result.add_scatter(
        x=[one.general * theme.POINTS for one in front],
        y=[one.domain * theme.POINTS for one in front], mode="markers", hoverinfo="skip",
        marker={"symbol": "circle-open", "size": 14, "color": theme.INK[theme_],
                "line": {"width": 1.5}},
        error_x=_error([one.general_error for one in front], theme_),
        error_y=_error([one.domain_error for one in front], theme_),
        name="of these, 95 % intervals",
    )  # fmt: skip


def _error(errors: Sequence[float | None], theme_: Theme) -> dict[str, object]:
    return {"type": "data", "array": [Z * (one or 0.0) * theme.POINTS for one in errors],
            "thickness": 0.8, "width": 2, "color": theme.QUIET[theme_]}  # fmt: skip


def _parents(result: go.Figure, parents: Sequence[Spot], theme_: Theme) -> None:
    if not parents:
        return
    result.add_scatter(
        x=[one.general * theme.POINTS for one in parents],
        y=[one.domain * theme.POINTS for one in parents], mode="markers+text", name="parents",
        text=[f"<b>{theme.label(one.key, 16)}</b>" for one in parents], textposition="top center",
        textfont={"size": 11, "color": theme.INK[theme_]}, cliponaxis=False,
        marker={"symbol": "star", "size": 13, "color": theme.INK[theme_]},
        customdata=[["", _text(one)] for one in parents], hovertemplate=HOVER,
    )  # fmt: skip


def _text(one: Spot) -> str:
    return (
        f"{theme.plain(one.label)}<br>domain {_with_error(one.domain, one.domain_error)}, "
        f"general {_with_error(one.general, one.general_error)}"
        + ("<br>not beaten on both" if one.front else "")
    )


def _with_error(value: float, error: float | None) -> str:
    half = "" if error is None else f" ± {Z * error * theme.POINTS:.1f}"
    return f"{theme.points(value)}{half}"
