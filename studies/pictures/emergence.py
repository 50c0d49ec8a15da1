"""Emergent items of every merge against what luck gives. customdata is [key, text]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from studies.analysis import emergence as analysis
from studies.analysis.emergence import Emergence
from studies.analysis.emergent import MergeEmergence
from studies.pictures import naming, theme
from studies.pictures.picture import Choice, Rows
from studies.pictures.theme import Theme
from studies.results import Results

BARS = 40
OF_EXPERTS = ("2", "3")
"""Stages that the claim of emergence is about; see `studies.claims.merging.emergence_claim`."""
RINGS = (
    ("experts' merges beyond luck", True, "circle-open"),
    ("others beyond luck, no part of the claim", False, "circle-open-dot"),
)
"""Words in the legend, whether of the experts' merges, and mark."""


def analyse(results: Results) -> Emergence:
    """See `studies.analysis.emergence`."""
    return analysis.emergence(results)


def tables(found: Emergence) -> Mapping[str, Rows]:
    """A row for every merge, and one for every merge and task."""
    return {"emergence": found.table(), "emergence_tasks": found.task_table()}


def choices(found: Emergence) -> tuple[Choice, ...]:
    """Which stage."""
    stages = list(dict.fromkeys(one.stage for one in found.merges))
    each = {"": "All stages"} | {one: naming.stage(one) for one in stages}
    return (Choice("stage", "Stage", each, ("",)),)


def figure(found: Emergence, theme_: Theme = "light", *, stage: str = "") -> go.Figure:
    """Left: new items against chance and relatives. Right: items that come back with new masks."""
    merges = [one for one in found.merges if stage in ("", one.stage)]
    tested = [one for one in merges if one.expected is not None]
    again = [one for one in merges if one.again is not None and one.again_expected is not None]
    if not tested and not again:
        return theme.empty("No merge has items that luck could be told for.", theme_)
    columns = 2 if again else 1
    result = make_subplots(
        rows=1, cols=columns, horizontal_spacing=0.11,
        subplot_titles=["New items, against luck", "Shared by re-drawn masks, against luck"][
            :columns
        ],
    )  # fmt: skip
    stages = list(dict.fromkeys(one.stage for one in found.merges))
    _side(result, tested, [(one.expected or 0.0, float(one.tested)) for one in tested], stages,
          theme_, 1, "Items that luck gives", "New items: right in no model below")  # fmt: skip
    if again:
        _side(result, again, [(one.again_expected or 0.0, one.again or 0.0) for one in again],
              stages, theme_, 2, "Shared items that luck gives",
              "Shared items, mean of pairs")  # fmt: skip
    result.update_annotations(font={"size": 13})
    return theme.finish(result, theme_, 480, margin={"l": 8, "r": 12, "t": 44, "b": 74},
                        legend={"orientation": "h", "y": 0, "yref": "container",
                                "yanchor": "bottom", "x": 0})  # fmt: skip


def _side(
    result: go.Figure, merges: Sequence[MergeEmergence], at: Sequence[tuple[float, float]],
    stages: Sequence[str], theme_: Theme, column: int, x: str, y: str,
) -> None:  # fmt: skip
    most = max([1.0, *(max(pair) for pair in at)]) * 1.06
    result.add_scatter(
        x=[0, most], y=[0, most], mode="lines", name="as many as luck gives", hoverinfo="skip",
        line={"color": theme.QUIET[theme_], "width": 1, "dash": "dot"}, showlegend=column == 1,
        row=1, col=column,
    )  # fmt: skip
    for number, stage in enumerate(stages):
        mine = [(one, pair) for one, pair in zip(merges, at, strict=True) if one.stage == stage]
        if not mine:
            continue
        more = _bars(mine, theme_) if column == 1 and len(merges) <= BARS else {}
        result.add_trace(theme.marks(
            [pair[0] for _, pair in mine], [pair[1] for _, pair in mine],
            [[one.key, _text(one)] for one, _ in mine],
            {"symbol": theme.symbol(number), "size": 8, "color": theme.colour(number, theme_),
             "opacity": 0.7},
            many=len(mine) > theme.MANY, name=naming.stage(stage), legendgroup=stage,
            showlegend=column == 1, hovertemplate="%{customdata[1]}<extra></extra>", **more,
        ), row=1, col=column)  # fmt: skip
    ringed = [(one, pair) for one, pair in zip(merges, at, strict=True) if one.found]
    for name, ours, dash in RINGS if column == 1 else ():
        some = [pair for one, pair in ringed if (one.stage in OF_EXPERTS) is ours]
        if not some and not ours:
            continue
        result.add_scatter(
            x=theme.some([x for x, _ in some]), y=theme.some([y for _, y in some]),
            mode="markers", name=f"{name} ({len(some)})", hoverinfo="skip",
            marker={"symbol": dash, "size": 15, "color": theme.INK[theme_], "line": {"width": 2}},
            row=1, col=column,
        )  # fmt: skip
    result.update_xaxes(title={"text": x, "standoff": 4}, rangemode="tozero", row=1, col=column)
    result.update_yaxes(title={"text": y, "standoff": 4}, rangemode="tozero", row=1, col=column)


def _bars(mine: Sequence[tuple[MergeEmergence, tuple[float, float]]], theme_: Theme) -> dict:  # type: ignore[type-arg]
    """Whiskers: the interval of new - luck, drawn around the number that was seen."""
    up = [max(0.0, (one.high or 0.0) + x - y) if one.high is not None else 0.0
          for one, (x, y) in mine]  # fmt: skip
    down = [max(0.0, y - x - (one.low or 0.0)) if one.low is not None else 0.0
            for one, (x, y) in mine]  # fmt: skip
    return {"error_y": {"type": "data", "symmetric": False, "array": up, "arrayminus": down,
                        "thickness": 1, "width": 2, "color": theme.QUIET[theme_]}}  # fmt: skip


def _text(one: MergeEmergence) -> str:
    lines = [
        theme.plain(one.label),
        f"{one.count} right that no constituent has; {one.new} of a pool of {one.pool} that no "
        "model below has",
    ]
    if one.expected is not None:
        holm = theme.told_p(one.p_holm)
        lines.append(f"{one.tested} in tasks with a null, luck gives {one.expected:.1f}; "
                     f"{theme.told_p(one.p)}, after Holm's correction {holm}")  # fmt: skip
    if one.best_task:
        lines.append(f"most in {theme.plain(one.best_task)}")
    if one.again is not None and one.again_expected is not None:
        lines.append(f"{one.n_redrawn} masks share {one.again:.1f}, luck gives "
                     f"{one.again_expected:.1f}; {theme.told_p(one.p_redrawn)}")  # fmt: skip
    said = "emergent beyond luck" if one.found else "not beyond luck"
    if one.found and one.stage not in OF_EXPERTS:
        said += "; the claim is of the experts' merges alone"
    lines.append(said)
    return "<br>".join(lines)
