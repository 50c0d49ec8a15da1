"""A search's pictures: history, parallel coordinates, importance, Pareto front; Plotly with rows.

Each function gives a figure and the rows behind it, for a CSV. A mark that stands for a trial has
its reference as `customdata[0]`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from studies.pictures import theme
from studies.pictures.theme import Theme

if TYPE_CHECKING:
    from search.results import SearchResults, Trial

Rows = list[dict[str, Any]]
Drawn = tuple[go.Figure, Rows]
HOVER = "%{customdata[1]}<extra></extra>"
NOTHING_THERE: list[Any] = [None]  # a trace of nothing still stands in the legend
NOTHING = "The first trials are not scored yet."


def history(found: SearchResults, theme_: Theme, place: int = 0) -> Drawn:
    """Each trial's value in the order of trials, and the best so far."""
    done = [one for one in found.trials if one.values]
    rows = [{"order": at, "trial": one.ref, "what": one.title, "origin": one.origin,
             "value": one.values[place]} for at, one in enumerate(done, 1)]  # fmt: skip
    if not done:
        return theme.empty(NOTHING, theme_), rows
    factor, axis = _unit(found, place)
    figure = go.Figure()
    for number, (origin, name) in enumerate((("sampler", "trials"), ("grid", "known points"))):
        mine = [(at, one) for at, one in enumerate(done, 1) if one.origin == origin]
        figure.add_scatter(
            x=[at for at, _ in mine] or NOTHING_THERE,
            y=[factor * t.values[place] for _, t in mine] or NOTHING_THERE,
            mode="markers", name=name, hovertemplate=HOVER,
            customdata=[[one.ref, _text(found, one)] for _, one in mine],
            marker={"symbol": theme.symbol(number), "size": 9,
                    "color": theme.colour(number, theme_)},
        )  # fmt: skip
    better = max if found.design.objectives[place].direction == "maximize" else min
    best, line = None, []
    for one in done:
        best = one.values[place] if best is None else better(best, one.values[place])
        line.append(factor * best)
    figure.add_scatter(x=list(range(1, len(done) + 1)), y=line, mode="lines", hoverinfo="skip",
                       line={"color": theme.INK[theme_], "width": 1.5, "shape": "hv"},
                       name="best so far")  # fmt: skip
    figure.update_xaxes(title={"text": "Trials scored to their end, in order"})
    figure.update_yaxes(title={"text": axis})
    return theme.finish(figure, theme_, 440), rows


def parallel(found: SearchResults, theme_: Theme, place: int = 0) -> Drawn:
    """Every scored trial as a line through its parameters to its value."""
    done = [one for one in found.trials if one.values and one.params]
    names = [name for name in dict.fromkeys(n for one in done for n in one.params)]
    rows = [{"trial": one.ref, **one.params, "value": one.values[place]} for one in done]
    if len(done) < 2:
        return theme.empty("Two scored trials of the space are needed for this.", theme_), rows
    factor, axis = _unit(found, place)
    dimensions = [_dimension(name, [one.params.get(name) for one in done]) for name in names]
    values = [factor * one.values[place] for one in done]
    dimensions.append({"label": theme.label(axis, 26), "values": values})
    figure = go.Figure(go.Parcoords(
        line={"color": values, "colorscale": [[0, theme.COLOURS[theme_][1]],
                                              [1, theme.COLOURS[theme_][0]]], "showscale": True,
              "colorbar": {"thickness": 10, "outlinewidth": 0}},
        dimensions=dimensions, labelfont={"size": 11, "color": theme.INK[theme_]},
        tickfont={"size": 10, "color": theme.INK[theme_]}, labelangle=-18,
        rangefont={"size": 9, "color": theme.QUIET[theme_]},
    ))  # fmt: skip
    figure.update_layout(meta={"min_width": 110 * (len(names) + 2)})
    return theme.finish(figure, theme_, 480, margin={"l": 110, "r": 40, "t": 110, "b": 24}), rows


def importance(found: SearchResults, theme_: Theme, place: int = 0) -> Drawn:
    """Which parameter told good trials from the others, by PED-ANOVA."""
    shares = found.importance.get(place, {})
    ordered = sorted(shares.items(), key=lambda one: one[1])
    rows: Rows = [{"parameter": name, "importance": share} for name, share in reversed(ordered)]
    if not shares:
        return theme.empty("This takes eight scored trials and two parameters.", theme_), rows
    figure = go.Figure(go.Bar(
        x=[100 * share for _, share in ordered], y=[theme.label(name, 34) for name, _ in ordered],
        orientation="h", marker={"color": theme.colour(1, theme_)},
        text=[f"{100 * share:.0f} %" for _, share in ordered], textposition="outside",
        cliponaxis=False, hoverinfo="skip",
    ))  # fmt: skip
    figure.update_xaxes(title={"text": "Share of the importance (%)"}, range=[0, 108])
    return theme.finish(figure, theme_, 120 + 34 * len(ordered)), rows


def pareto(found: SearchResults, theme_: Theme, place: int = 0) -> Drawn:
    """Two objectives against each other, what no trial beats as a line."""
    done = [one for one in found.trials if one.values]
    front = {one.ref for one in found.front()}
    titles = [one.title for one in found.design.objectives]
    rows = [{"trial": one.ref, "what": one.title, "front": one.ref in front,
             **dict(zip(titles, one.values, strict=True))} for one in done]  # fmt: skip
    if len(titles) < 2:
        return theme.empty(
            "A search with one objective has one best trial, and no front.", theme_
        ), rows
    if not done:
        return theme.empty(NOTHING, theme_), rows
    x, y = (0, 1) if place == 0 else (0, place)
    (factor_x, axis_x), (factor_y, axis_y) = _unit(found, x), _unit(found, y)
    figure = go.Figure()
    line = sorted((one for one in done if one.ref in front), key=lambda one: one.values[x])
    figure.add_scatter(
        x=[factor_x * one.values[x] for one in line], y=[factor_y * one.values[y] for one in line],
        mode="lines", hoverinfo="skip", name=f"beaten by none ({len(line)})",
        line={"color": theme.QUIET[theme_], "width": 1.5, "dash": "dot"},
    )  # fmt: skip
    for number, (origin, on, name) in enumerate((
        ("sampler", False, "trials"), ("grid", False, "known points"),
        ("sampler", True, "trials beaten by none"), ("grid", True, "known points beaten by none"),
    )):  # fmt: skip
        mine = [one for one in done if one.origin == origin and (one.ref in front) is on]
        if not mine:
            continue
        figure.add_scatter(
            x=[factor_x * one.values[x] for one in mine],
            y=[factor_y * one.values[y] for one in mine], mode="markers", name=name,
            hovertemplate=HOVER, customdata=[[one.ref, _text(found, one)] for one in mine],
            marker={"symbol": theme.symbol(number % 2), "size": 12 if on else 8,
                    "color": theme.colour(number % 2, theme_),
                    "line": {"width": 2 if on else 0, "color": theme.INK[theme_]}},
        )  # fmt: skip
    figure.update_xaxes(title={"text": axis_x})
    figure.update_yaxes(title={"text": axis_y})
    return theme.finish(figure, theme_, 520), rows


PICTURES: Mapping[str, tuple[str, str, Callable[..., Drawn]]] = {
    "history": ("History", "Every trial's value on the search items, and the best so far; what was "
                "pruned has none.", history),
    "parallel": ("Parallel coordinates", "A line is a trial: its parameters, and on the right what "
                 "came of them. Drag along an axis to pick a range.", parallel),
    "importance": ("Importance", "How differently a parameter is spread over the best quarter of "
                   "the trials than over all, as shares (Optuna's PED-ANOVA, arXiv 2304.10255). "
                   "It tells what separated these trials, not what would help outside of them.",
                   importance),
    "pareto": ("Pareto front", "Objectives against each other on the search items.", pareto),
}  # fmt: skip


def _unit(found: SearchResults, place: int) -> tuple[float, str]:
    """Scores are told in points of a hundred, the change as it is."""
    one = found.design.objectives[place]
    if one.is_score:
        return theme.POINTS, theme.label(f"{one.title} (points)", 60)
    return 1.0, "size of change, |merge − base| / |base|"


def _dimension(name: str, values: list[Any]) -> dict[str, Any]:
    """An axis; words are numbered, and a parameter that a trial does not have lies below all."""
    label = theme.label(name.replace("weight ", "w "), 26)
    if all(isinstance(one, int | float) and not isinstance(one, bool) for one in values):
        return {"label": label, "values": values}
    if any(isinstance(one, float) for one in values):
        there = [one for one in values if one is not None]
        low, high = min(there), max(there)
        below = low - (0.12 * (high - low) or 0.1)
        ticks = [below, low, (low + high) / 2, high]
        return {"label": label, "values": [below if one is None else one for one in values],
                "tickvals": ticks, "ticktext": ["none", *(f"{one:.2g}" for one in ticks[1:])],
                }  # fmt: skip
    words = list(dict.fromkeys("none" if one is None else str(one) for one in values))
    return {"label": label, "tickvals": list(range(len(words))),
            "ticktext": [theme.label(one, 18) for one in words],
            "values": [words.index("none" if one is None else str(one)) for one in values],
            }  # fmt: skip


def _text(found: SearchResults, one: Trial) -> str:
    said = [f"<b>{theme.plain(one.title)}</b>"]
    for objective, value in zip(found.design.objectives, one.values, strict=True):
        told = f"{100 * value:.1f}" if objective.is_score else f"{value:.4f}"
        said.append(f"{theme.plain(objective.title)} {told}")
    for name, value in one.params.items():
        shown = f"{value:.3g}" if isinstance(value, float) else theme.plain(str(value))
        said.append(f"{theme.label(name)} {shown}")
    return "<br>".join(said)
