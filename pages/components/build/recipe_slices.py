"""A result that is put together from ranges of layers: drawn, and listed; edited in the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from merging.recipes import schedules
from merging.recipes.slices import Slice, SliceSource
from pages.components import words
from pages.components.build.draft import Draft
from pages.components.scores.plots import plain, short

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_ROWS = 200  # of the table


def draw(draft: Draft, prefix: str) -> None:
    """Draw the draft's slices, and a button that takes them out of it.

    Args:
        draft: one with slices.
        prefix: start of the widgets' keys.
    """
    slices, base = draft.slices, draft.base
    total = sum(one.count for one in slices)
    with st.container(border=True):
        st.markdown(f"**Put together from ranges of layers**: {words.plural(total, 'layer')}")
        st.plotly_chart(
            figure(slices),
            config={"displayModeBar": False},
            key=f"{prefix}_picture",
            alt="The result's layers, and which model each comes from",
        )
        st.dataframe(
            table(slices, base)[:MOST_ROWS],
            hide_index=True,
            key=f"{prefix}_table",
            alt="The result's layers and what they are made from",
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption("Edited as `slices` in the text.")
            st.button(
                "Take whole models instead",
                key=f"{prefix}_away",
                icon=":material/layers_clear:",
                on_click=_take_whole,
                args=(draft,),
            )


def _take_whole(draft: Draft) -> None:
    draft.slices = ()


def table(slices: Sequence[Slice], base: str | None) -> list[dict[str, str]]:
    """A row per slice: layers of the result, where they come from, and what holds for them only."""
    rows, first = [], 0
    for one in slices:
        sources = [_source(each) for each in one.sources]
        if base is not None:
            start, end = one.base_layers()
            sources.append(f"{_layers(start, end)} of {base} as base")
        own = [f"{name} {schedules.in_words(value)}" for name, value in one.options.items()]
        rows.append(
            {
                "Layers": _layers(first, first + one.count),
                "Made from": "; ".join(sources),
                "Here only": ", ".join(own),
            }
        )
        first += one.count
    return rows if any(row["Here only"] for row in rows) else [_without(row) for row in rows]


def figure(slices: Sequence[Slice]) -> go.Figure:
    """A bar per source: where its layers stand in the result."""
    import plotly.graph_objects as go

    bars: dict[str, list[tuple[int, SliceSource]]] = {}
    first = 0
    for one in slices:
        for source in one.sources:
            bars.setdefault(source.model, []).append((first, source))
        first += one.count
    made = go.Figure()
    for model, parts in bars.items():
        made.add_bar(
            y=[plain(short(model, 26))] * len(parts),
            base=[start for start, _ in parts],
            x=[source.count for _, source in parts],
            text=[_layers(*source.layers) for _, source in parts],
            textposition="inside",
            insidetextanchor="middle",
            orientation="h",
            marker={"line": {"width": 2, "color": "rgba(128,128,128,0.6)"}},
            hovertemplate="%{text} of %{y}<extra></extra>",
            showlegend=False,
        )
    made.update_xaxes(title="Layer of the result", range=[0, first], fixedrange=True)
    made.update_yaxes(autorange="reversed", automargin=True, fixedrange=True)
    made.update_layout(
        height=90 + 38 * len(bars), barmode="overlay", bargap=0.25,
        margin={"l": 0, "r": 8, "t": 8, "b": 8},
    )  # fmt: skip
    return made


def _source(one: SliceSource) -> str:
    """`layers 0 to 15 of A, weight 0.5`."""
    own: Mapping[str, Any] = {
        **({} if one.weight is None else {"weight": one.weight}),
        **one.options,
    }
    more = "".join(f", {name} {schedules.in_words(value)}" for name, value in own.items())
    return f"{_layers(*one.layers)} of {one.model}{more}"


def _layers(start: int, end: int) -> str:
    """Layers by their first and last number."""
    return f"{start}" if end == start + 1 else f"{start}–{end - 1}"


def _without(row: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in row.items() if value or key != "Here only"}
