"""Cosines of task vectors by layer and by module, and what the instruct stage kept of each skill.

customdata of what was kept is [key of the merge, text]; cosines belong to no merge: ["", text].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from studies.analysis import independence as analysis
from studies.analysis.independence import INDEPENDENT, Cosine, Independence, Kept
from studies.analysis.intervals import Z
from studies.pictures import theme
from studies.pictures.picture import Choice, Rows
from studies.pictures.theme import Theme
from studies.results import INSTRUCT, Results

VIEWS = {
    "instruct": "Cosines of experts and instruct",
    "experts": "Cosines of experts",
    "kept": "What merges kept",
}
HOVER = "%{customdata[1]}<extra></extra>"


def analyse(results: Results) -> Independence:
    """See `studies.analysis.independence`."""
    return analysis.independence(results)


def tables(found: Independence) -> Mapping[str, Rows]:
    """A row for every pair and part, and one for every merge of the instruct stage."""
    return {"independence": found.table(), "kept": found.kept_table()}


def choices(found: Independence) -> tuple[Choice, ...]:
    """Cosines of which pairs, or what was kept."""
    there = {_among(one) for one in found.cosines} | ({"kept"} if found.kept else set())
    return (Choice("view", "Show", {k: v for k, v in VIEWS.items() if k in there}),)


def figure(found: Independence, theme_: Theme = "light", *, view: str = "instruct") -> go.Figure:
    """Cosines, or domain gain kept against chat gain kept."""
    if view == "kept":
        return _kept([one for one in found.kept], theme_)
    cosines = [one for one in found.cosines if _among(one) == view]
    if not cosines:
        return theme.empty("The task vectors were not compared.", theme_)
    return _cosines(cosines, theme_)


def _among(one: Cosine) -> str:
    return "instruct" if one.second == INSTRUCT else "experts"


def _cosines(cosines: Sequence[Cosine], theme_: Theme) -> go.Figure:
    pairs = list(dict.fromkeys((one.first, one.second) for one in cosines))
    result = make_subplots(rows=2, cols=1, vertical_spacing=0.17,
                           subplot_titles=["By layer", "By kind of module"])  # fmt: skip
    for row, by in enumerate(("layer", "module"), 1):
        parts = list(dict.fromkeys(one.part for one in cosines if one.by == by))
        _band(result, [one for one in cosines if one.by == by], parts, theme_, row)
        for number, pair in enumerate(pairs):
            mine = {one.part: one for one in cosines if (one.first, one.second) == pair
                    and one.by == by}  # fmt: skip
            whole = next((one for one in cosines if (one.first, one.second) == pair
                          and one.by == "all"), None)  # fmt: skip
            there = [part for part in parts if part in mine]
            result.add_scatter(
                x=[parts.index(part) for part in there], y=[mine[part].cosine for part in there],
                mode="lines+markers" if by == "layer" else "markers", name=_name(pair, whole),
                legendgroup=str(number), showlegend=row == 1, row=row, col=1,
                line={"color": theme.colour(number, theme_), "dash": theme.dash(number)},
                marker={"symbol": theme.symbol(number), "size": 9,
                        "color": theme.colour(number, theme_)},
                customdata=[["", _cosine_text(mine[part])] for part in there], hovertemplate=HOVER,
            )  # fmt: skip
        step = max(1, len(parts) // 24)
        result.update_xaxes(tickvals=list(range(0, len(parts), step)), row=row, col=1,
                            ticktext=[theme.label(part, 16) for part in parts[::step]],
                            range=[-0.5, len(parts) - 0.5], tickangle=-35,
                            zeroline=False)  # fmt: skip
    most = max([INDEPENDENT * 1.3, *(abs(one.cosine) * 1.15 for one in cosines)])
    result.update_yaxes(title={"text": "Cosine"}, range=[-most, most], zeroline=True)
    result.update_annotations(font={"size": 13})
    return theme.finish(result, theme_, 620, margin={"l": 8, "r": 12, "t": 36, "b": 110},
                        legend={"orientation": "h", "y": 0, "yref": "container",
                                "yanchor": "bottom", "x": 0})  # fmt: skip


def _band(
    result: go.Figure, cosines: Sequence[Cosine], parts: Sequence[str], theme_: Theme, row: int
) -> None:
    """Where random vectors of that size would be, and the mark that counts as independent."""
    widest: dict[str, float] = {}
    for one in cosines:
        widest[one.part] = max(widest.get(one.part, 0.0), Z * one.sd_effective)
    x = [i + side for i, _ in enumerate(parts) for side in (-0.5, 0.5)]
    up = [widest[part] for part in parts for _ in range(2)]
    result.add_scatter(
        x=x + x[::-1], y=up + [-v for v in reversed(up)], fill="toself", mode="lines",
        fillcolor="rgba(128,128,128,0.28)", line={"width": 0}, hoverinfo="skip",
        name="random vectors, 95 %", legendgroup="band", showlegend=row == 1, row=row, col=1,
    )  # fmt: skip
    for sign in (-1, 1):
        result.add_scatter(
            x=[-0.5, len(parts) - 0.5], y=[sign * INDEPENDENT] * 2, mode="lines", row=row, col=1,
            line={"color": theme.QUIET[theme_], "dash": "dot", "width": 1}, hoverinfo="skip",
            name=f"±{INDEPENDENT:g}: nearly independent within", legendgroup="rule",
            showlegend=row == 1 and sign > 0,
        )  # fmt: skip


def _name(pair: tuple[str, str], whole: Cosine | None) -> str:
    name = " · ".join(theme.label(one, 16) for one in pair)
    return name if whole is None else f"{name}: overall {_cosine(whole.cosine)}"


def _cosine(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _cosine_text(one: Cosine) -> str:
    return (
        f"{theme.plain(one.first)} · {theme.plain(one.second)}, {theme.plain(one.part)}<br>"
        f"cosine {_cosine(one.cosine)}, z = {one.z:.1f}, {theme.told_p(one.p)}<br>"
        f"random vectors: sd {one.sd_effective:.2g} ({one.n:,} weights)"
    )


def _kept(kept: Sequence[Kept], theme_: Theme) -> go.Figure:
    """A line for each expert or merge below, along alpha."""
    known = [one for one in kept if one.domain is not None and one.chat is not None]
    if not known:
        return theme.empty("No merge of the instruct stage has a domain gain and a chat gain to "
                           "keep.", theme_)  # fmt: skip
    result = go.Figure()
    lines: dict[tuple[str, str | None, float | None], list[Kept]] = {}
    for one in known:
        lines.setdefault((one.expert, one.on, one.expert_scale), []).append(one)
    for number, ((expert, on, scale), some) in enumerate(lines.items()):
        some.sort(key=lambda one: one.alpha or 0.0)
        factor = "" if scale in (None, 1) else f"{scale:g} × "
        result.add_scatter(
            x=[(one.domain or 0.0) * 100 for one in some],
            y=[(one.chat or 0.0) * 100 for one in some], mode="lines+markers+text",
            text=["" if one.alpha is None else f"α {one.alpha:g}" for one in some],
            textposition="top center", textfont={"size": 10, "color": theme.QUIET[theme_]},
            name=theme.plain(f"{factor}{expert}{' (best merge)' if on else ''} + α × instruct"),
            line={"color": theme.colour(number, theme_), "dash": theme.dash(number)},
            marker={"symbol": theme.symbol(number), "size": 9,
                    "color": theme.colour(number, theme_)},
            error_x=_error(some, "domain", theme.colour(number, theme_)),
            error_y=_error(some, "chat", theme.colour(number, theme_)),
            customdata=[[one.key, _kept_text(one)] for one in some], hovertemplate=HOVER,
            cliponaxis=False,
        )  # fmt: skip
    result.update_xaxes(title={"text": "Domain gain kept (% of the expert's)"}, rangemode="tozero")
    result.update_yaxes(title={"text": "Chat gain kept (% of the instruct model's)"},
                        rangemode="tozero")  # fmt: skip
    return theme.finish(result, theme_, 520, margin={"l": 8, "r": 20, "t": 16, "b": 96},
                        legend={"orientation": "h", "y": 0, "yref": "container",
                                "yanchor": "bottom", "x": 0})  # fmt: skip


def _error(some: Sequence[Kept], name: str, colour: str) -> dict[str, object]:
    values = [getattr(one, name) for one in some]
    lows, highs = ([getattr(one, f"{name}_{end}") for one in some] for end in ("low", "high"))
    return {
        "type": "data", "symmetric": False, "thickness": 0.8, "width": 2, "color": colour,
        "array": [0.0 if high is None else max(0.0, high - v) * 100
                  for v, high in zip(values, highs, strict=True)],
        "arrayminus": [0.0 if low is None else max(0.0, v - low) * 100
                       for v, low in zip(values, lows, strict=True)],
    }  # fmt: skip


def _kept_text(one: Kept) -> str:
    parts = []
    for title, value, low, high in (
        ("domain gain", one.domain, one.domain_low, one.domain_high),
        ("chat gain", one.chat, one.chat_low, one.chat_high),
    ):
        shares = ["—" if v is None else f"{v * 100:.0f}" for v in (value, low, high)]
        parts.append(f"{title} kept {shares[0]} % (95 % interval {shares[1]} to {shares[2]})")
    return "<br>".join([theme.plain(one.label), *parts]).replace("-", "−")
