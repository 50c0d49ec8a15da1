"""Similarity of two parents against Macro-Gain and Macro-OG of their merges.

Small marks are merges: customdata is [key, text]. Large ones are pairs, the unit of
the tests: their customdata is [keys of the pair's merges, text].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from studies.analysis import similarity as analysis
from studies.analysis.similarity import OF, Dot, SimilarityGains, Test
from studies.pictures import naming, theme
from studies.pictures.picture import Choice, Rows
from studies.pictures.theme import Theme
from studies.results import BASE, Results
from studies.vectors import MEASURES

SHORT = {
    "l2": "L2 distance", "weight_cosine": "Cosine of raw weights",
    "task_cosine": "Cosine of task vectors", "sign_conflict": "Sign conflict",
    "weighted_conflict": "Sign conflict by magnitude",
}  # fmt: skip


def analyse(results: Results) -> SimilarityGains:
    """See `studies.analysis.similarity`."""
    return analysis.similarity(results)


def tables(found: SimilarityGains) -> Mapping[str, Rows]:
    """A row for every merge of a pair, and one for every test."""
    return {"similarity": found.table(), "similarity_tests": found.test_table()}


def choices(found: SimilarityGains) -> tuple[Choice, ...]:
    """Which measure."""
    there = {one.measure for one in found.tests}
    return (Choice("measure", "Measure", {k: v for k, v in SHORT.items() if k in there}),)


def figure(
    found: SimilarityGains, theme_: Theme = "light", *, measure: str = "l2"
) -> go.Figure:  # fmt: skip
    """Two panels, for Macro-Gain and Macro-OG."""
    dots = [one for one in found.dots if measure in one.measures
            and any(getattr(one, of) is not None for of in OF)]  # fmt: skip
    if not dots:
        return theme.empty("The parents' weights were not compared, or no pair is scored.", theme_)
    heads = [_head(found, measure, of) for of in OF]
    result = make_subplots(rows=1, cols=2, horizontal_spacing=0.1, subplot_titles=heads)
    for column, of in enumerate(OF, 1):
        _panel(result, dots, measure, of, theme_, column)
        result.update_xaxes(title={"text": SHORT[measure], "standoff": 4}, row=1, col=column)
        result.update_yaxes(title={"text": f"{OF[of]} (points)", "standoff": 2}, row=1, col=column)
    result.update_annotations(font={"size": 12})
    result.update_xaxes(nticks=6)
    return theme.finish(result, theme_, 500, margin={"l": 8, "r": 12, "t": 76, "b": 70},
                        legend={"orientation": "h", "y": 0, "yref": "container",
                                "yanchor": "bottom", "x": 0})  # fmt: skip


def _head(found: SimilarityGains, measure: str, of: str) -> str:
    """Rho, p and n of the pairs' means, and of their chosen merges."""
    lines = []
    for by, words in (("mean", "pairs"), ("chosen", "chosen merges")):
        for which, among in (("all", ""), ("experts", "of experts")):
            one = found.test(measure, of, which, by)  # type: ignore[arg-type]
            if one is not None and one.result.n and (which == "all" or by == "mean"):
                lines.append(f"{among or words}: {_told(one)}")
    return "<br>".join(dict.fromkeys(lines))


def _told(one: Test) -> str:
    found = one.result
    if found.rho is None:
        return f"no ρ from n = {found.n}"
    rho = f"{found.rho:+.2f}".replace("-", "−")
    return f"ρ = {rho}, {theme.told_p(found.p)}, n = {found.n}"


def _panel(
    result: go.Figure, dots: Sequence[Dot], measure: str, of: str, theme_: Theme, column: int
) -> None:
    known = [one for one in dots if getattr(one, of) is not None]
    for number, method in enumerate(dict.fromkeys(one.method for one in known)):
        mine = [one for one in known if one.method == method]
        result.add_trace(theme.marks(
            [one.measures[measure] for one in mine],
            [getattr(one, of) * theme.POINTS for one in mine],
            [[one.key, f"{theme.plain(one.label)}<br>{OF[of]} {theme.signed(getattr(one, of))}, "
                       f"{SHORT[measure]} {one.measures[measure]:.4g}"] for one in mine],
            {"symbol": theme.symbol(number), "size": 7, "color": theme.colour(number, theme_),
             "opacity": 0.5},
            many=len(mine) > theme.MANY, name=theme.plain(naming.method(method)),
            legendgroup=method, showlegend=column == 1,
            hovertemplate="%{customdata[1]}<extra></extra>",
        ), row=1, col=column)  # fmt: skip
    pairs: dict[tuple[str, str], list[Dot]] = {}
    for one in known:
        pairs.setdefault((one.first, one.second), []).append(one)
    for with_base, name, shape in (
        (False, "pair of experts, mean", "diamond"),
        (True, "base and expert, mean", "diamond-open"),
    ):
        some = {pair: each for pair, each in pairs.items() if (pair[0] == BASE) is with_base}
        if some:
            _pairs(result, some, measure, of, theme_, column, name, shape)


def _pairs(
    result: go.Figure, pairs: Mapping[tuple[str, str], Sequence[Dot]], measure: str, of: str,
    theme_: Theme, column: int, name: str, shape: str,
) -> None:  # fmt: skip
    means = [sum(getattr(one, of) for one in some) / len(some) for some in pairs.values()]
    labels = [" + ".join(theme.label(one, 14) for one in pair) for pair in pairs]
    few = len(pairs) <= 12
    result.add_scatter(
        x=[some[0].measures[measure] for some in pairs.values()],
        y=[mean * theme.POINTS for mean in means], row=1, col=column, name=name,
        mode="markers+text" if few else "markers", text=labels if few else None,
        textposition=_sides([some[0].measures[measure] for some in pairs.values()]),
        textfont={"size": 10, "color": theme.INK[theme_]},
        marker={"symbol": shape, "size": 12, "color": theme.INK[theme_], "line": {"width": 2}},
        customdata=[[" ".join(one.key for one in some),
                     f"{label}<br>{OF[of]} {theme.signed(mean)}, mean of {len(some)} merges"]
                    for label, mean, some in zip(labels, means, pairs.values(), strict=True)],
        legendgroup=shape, showlegend=column == 1, cliponaxis=False,
        hovertemplate="%{customdata[1]}<extra></extra>",
    )  # fmt: skip


def _sides(x: Sequence[float]) -> list[str]:
    """Labels above and below in turn from left to right, so that neighbours stay readable."""
    order = sorted(range(len(x)), key=lambda i: x[i])
    rank = {place: i for i, place in enumerate(order)}
    return [f"{'bottom' if rank[i] % 2 else 'top'} center" for i in range(len(x))]


__all__ = ["MEASURES", "analyse", "choices", "figure", "tables"]
