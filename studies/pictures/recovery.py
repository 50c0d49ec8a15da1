"""What each expert lost against the base, and what share of it the stage-1 merges brought back.

customdata is [key of the merge, text]; "" for what an expert lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from studies.analysis import recovery as analysis
from studies.analysis.intervals import LEVEL
from studies.analysis.recovery import Forgetting, Recovered, Recovery
from studies.pictures import naming, theme
from studies.pictures.picture import Choice, Rows
from studies.pictures.theme import Theme
from studies.results import Results

LEAST, MOST = -100.0, 200.0
"""Shares beyond these (percent) are drawn at the edge; ratios have long tails."""
HOVER = "%{customdata[1]}<extra></extra>"
Line = tuple[float, Forgetting]


def analyse(results: Results) -> Recovery:
    """See `studies.analysis.recovery`."""
    return analysis.recovery(results)


def tables(found: Recovery) -> Mapping[str, Rows]:
    """A row for every expert and domain, and one for every stage-1 merge and domain."""
    return {"forgetting": found.table(), "recovery": found.recovered_table()}


def choices(found: Recovery) -> tuple[Choice, ...]:
    """One expert or all."""
    experts = dict.fromkeys(one.expert for one in found.forgotten)
    each = {"": "All experts"} | {one: one for one in experts}
    return (Choice("expert", "Expert", each, ("",)),)


def figure(found: Recovery, theme_: Theme = "light", *, expert: str = "") -> go.Figure:
    """Left: points lost. Right: share brought back; of the own gain, share kept."""
    forgotten = [one for one in found.forgotten if expert in ("", one.expert)]
    if not forgotten:
        return theme.empty("The base and an expert are not scored yet.", theme_)
    lines, heads, at, last = [], [], -1.0, None
    for one in forgotten:
        if one.expert != last:
            at += 1
            heads.append((at, one.expert))
            last = one.expert
        at += 1
        lines.append((at, one))
    result = make_subplots(
        rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.06, column_widths=[0.45, 0.55],
        subplot_titles=["Lost against the base",
                        "Brought back by merging<br>(own domain: gain kept)"],
    )  # fmt: skip
    _lost(result, lines, theme_)
    _back(result, lines, found.recovered, theme_)
    ticks = [(y, f"<b>{theme.label(name, 24)} expert</b>") for y, name in heads]
    ticks += [(y, theme.label(f"{one.domain}{' (own)' if one.own else ''}", 24))
              for y, one in lines]  # fmt: skip
    result.update_yaxes(range=[at + 0.6, -0.6], tickvals=[y for y, _ in ticks], zeroline=False,
                        showgrid=False,
                        ticktext=[text for _, text in ticks])  # fmt: skip
    result.update_xaxes(title={"text": "points; below 0: gained", "standoff": 4}, row=1, col=1)
    result.update_xaxes(title={"text": "% of what was lost", "standoff": 4}, row=1, col=2,
                        range=[LEAST - 8, MOST + 8], tickvals=[-100, 0, 100, 200],
                        ticktext=["≤ −100", "0", "100", "≥ 200"])  # fmt: skip
    result.add_vline(x=100, line={"color": theme.QUIET[theme_], "dash": "dot", "width": 1},
                     row=1, col=2)  # fmt: skip
    result.update_annotations(font={"size": 12})
    return theme.finish(result, theme_, 160 + 21 * (at + 1), hoverdistance=14,
                        margin={"l": 8, "r": 12, "t": 52, "b": 86},
                        legend={"orientation": "h", "y": 0, "yref": "container",
                                "yanchor": "bottom", "x": 0})  # fmt: skip


def _lost(result: go.Figure, lines: Sequence[Line], theme_: Theme) -> None:
    for sure, name, shape in (
        (True, "lost or gained beyond noise (Holm)", "circle"),
        (False, "not beyond noise", "circle-open"),
    ):
        mine = [(y, one) for y, one in lines
                if (one.p_holm is not None and one.p_holm < LEVEL) is sure]  # fmt: skip
        values = [one.lost * theme.POINTS for _, one in mine]
        result.add_scatter(
            x=theme.some(values), y=theme.some([y for y, _ in mine]), mode="markers", name=name,
            marker={"symbol": shape, "size": 9, "color": theme.colour(0, theme_)},
            error_x=_whiskers(values, [one.low for _, one in mine],
                              [one.high for _, one in mine], theme_),
            customdata=[["", _lost_text(one)] for _, one in mine], hovertemplate=HOVER,
            row=1, col=1,
        )  # fmt: skip


def _lost_text(one: Forgetting) -> str:
    return (
        f"{theme.plain(one.expert)} expert, {theme.plain(one.domain)} ({one.n_tasks} tasks)<br>"
        f"base {theme.points(one.base)}, expert {theme.points(one.score)}<br>"
        f"lost {theme.signed(one.lost)} (95 % interval {theme.span(one.low, one.high)}), "
        f"after Holm's correction {theme.told_p(one.p_holm)}"
    )


def _back(
    result: go.Figure, lines: Sequence[Line], recovered: Sequence[Recovered], theme_: Theme
) -> None:
    merges = [(y, one) for y, line in lines for one in _of(line, recovered)]
    shares = [(y, one, _share(one, y, lines)) for y, one in merges]
    known = [(y, one, share) for y, one, share in shares if share[0] is not None]
    methods = list(dict.fromkeys(one.method for one in recovered))
    for number, method in enumerate(methods):
        mine = [each for each in known if each[1].method == method and not each[1].chosen]
        if mine:
            # methods a little apart, so that marks at 100 % can be told from each other
            shift = 0.16 * (number - (len(methods) - 1) / 2) if len(methods) < 5 else 0.0
            result.add_trace(theme.marks(
                [_clip(share[0]) for _, _, share in mine], [y + shift for y, _, _ in mine],
                [[one.key, _back_text(one, share)] for _, one, share in mine],
                {"symbol": theme.symbol(number + 1), "size": 6, "opacity": 0.55,
                 "color": theme.colour(number + 1, theme_)},
                many=len(mine) > theme.MANY, name=theme.plain(naming.method(method)),
                hovertemplate=HOVER,
            ), row=1, col=2)  # fmt: skip
    best = [each for each in known if each[1].chosen]
    values = [_clip(share[0]) for _, _, share in best]
    result.add_scatter(
        x=theme.some(values), y=theme.some([y for y, _, _ in best]), mode="markers",
        name="chosen on the search items, 95 % interval",
        marker={"symbol": "diamond", "size": 10, "color": theme.INK[theme_]},
        error_x=_whiskers(values, [_low(share[1]) for _, _, share in best],
                          [_low(share[2]) for _, _, share in best], theme_, ink=True),
        customdata=[[one.key, _back_text(one, share)] for _, one, share in best],
        hovertemplate=HOVER, row=1, col=2,
    )  # fmt: skip
    told = {y for y, _, _ in known}
    silent = [(y, one) for y, one in lines if y not in told and recovered]
    result.add_scatter(
        x=[0.0] * len(silent), y=[y for y, _ in silent], mode="text", hoverinfo="skip",
        text=["no gain beyond noise" if one.own else "no loss beyond noise" for _, one in silent],
        textposition="middle right", textfont={"size": 10, "color": theme.QUIET[theme_]},
        showlegend=False, row=1, col=2,
    )  # fmt: skip


Share = tuple[float | None, float | None, float | None]


def _of(line: Forgetting, recovered: Sequence[Recovered]) -> list[Recovered]:
    """Merges of a line; the own domain has each merge of the expert once."""
    if not line.own:
        return [o for o in recovered if (o.expert, o.domain) == (line.expert, line.domain)]
    return list({o.key: o for o in recovered if o.expert == line.expert}.values())


def _share(one: Recovered, y: float, lines: Sequence[Line]) -> Share:
    own = next(line.own for place, line in lines if place == y)
    return (one.kept, one.kept_low, one.kept_high) if own else (
        one.share, one.share_low, one.share_high
    )  # fmt: skip


def _back_text(one: Recovered, share: Share) -> str:
    value, low, high = (
        "—" if v is None else f"{v * 100:.0f} %".replace("-", "−") for v in share
    )  # fmt: skip
    kept = "—" if one.kept is None else f"{one.kept * 100:.0f} %".replace("-", "−")
    return (
        f"{theme.plain(one.label)}<br>{theme.plain(one.domain)}: {value} "
        f"(95 % interval {low} to {high})<br>"
        f"{theme.signed(one.back)} against the expert; keeps {kept} of its own gain"
    )


def _clip(share: float | None) -> float:
    return min(MOST, max(LEAST, (share or 0.0) * 100))


def _low(share: float | None) -> float | None:
    return None if share is None else _clip(share) / theme.POINTS


def _whiskers(
    values: Sequence[float], lows: Sequence[float | None], highs: Sequence[float | None],
    theme_: Theme, *, ink: bool = False,
) -> dict[str, object]:  # fmt: skip
    ends = list(zip(values, lows, highs, strict=True))
    return {
        "type": "data", "symmetric": False, "thickness": 1.3, "width": 3,
        "color": theme.INK[theme_] if ink else theme.colour(0, theme_),
        "array": [0.0 if high is None else max(0.0, high * theme.POINTS - v)
                  for v, _, high in ends],
        "arrayminus": [0.0 if low is None else max(0.0, v - low * theme.POINTS)
                       for v, low, _ in ends],
    }  # fmt: skip
