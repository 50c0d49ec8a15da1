"""What a schedule gives each layer and each part of the model, drawn."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from jobs.models import anatomy as anatomies
from jobs.models.anatomy import Anatomy, Line
from merging.errors import RecipeError
from merging.methods import OptionField
from merging.recipes import schedules
from pages.components import problems
from pages.components.build import schedule_shapes
from pages.components.build.schedule_field import Setting
from pages.components.scores.plots import plain

if TYPE_CHECKING:
    import plotly.graph_objects as go

CONFIG = {"displayModeBar": False}
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star")
MOST_LINES = 8
MOST_MARKED = 40  # layers whose points are marked one by one
MOST_NAMES = 3


def draw(value: Any, setting: Setting, anatomy: Anatomy, otherwise: Sequence[Any]) -> None:
    """Draw a schedule; one that is not right yet is said to be so in its place.

    Args:
        value: the schedule.
        setting: what it is of.
        anatomy: the model's tensors.
        otherwise: what counts, in this order, where no filter matches.
    """
    try:
        checked, *others = [
            schedules.settle(each, setting.label, lambda one: _value(one, setting.field))
            for each in (value, *otherwise)
        ]
    except RecipeError as error:
        st.info(problems.as_text(str(error)), icon=":material/edit:")
        return
    st.plotly_chart(
        figure(checked, setting, anatomy, others),
        config=CONFIG,
        key=setting.button("picture"),
        alt=f"{setting.title} by layer: {schedules.in_words(checked)}",
    )
    st.caption(_told(anatomy))
    for filter_ in _unused(checked, anatomy):
        st.caption(
            f":orange-badge[:material/priority_high: no effect] No tensor is called "
            f"{problems.as_text(filter_)}."
        )


def figure(value: Any, setting: Setting, anatomy: Anatomy, otherwise: Sequence[Any]) -> go.Figure:
    """Value against layer: a line for tensors that get the same, points outside of the layers."""
    import plotly.graph_objects as go

    lines, points = anatomies.curves(anatomy, [value, *otherwise])
    everything = {rest for line in lines for rest in line.rests}
    made = go.Figure()
    for number, line in enumerate(lines[:MOST_LINES]):
        made.add_scatter(
            x=list(range(anatomy.count)),
            y=[_shown(one) for one in line.values],
            mode="lines+markers" if anatomy.count <= MOST_MARKED else "lines",
            name=plain(_name(line, everything, setting.names)),
            line={"dash": DASHES[number % len(DASHES)]},
            marker={"symbol": SYMBOLS[number % len(SYMBOLS)], "size": 7},
            cliponaxis=False,
            hovertemplate="layer %{x}: %{y:.3~g}",
        )
    for one in points:
        made.add_scatter(
            x=[-1 if one.first else anatomy.count],
            y=[_shown(one.value)],
            mode="markers",
            name=plain(_few([_short(name) for name in one.names])),
            marker={"symbol": "diamond-open" if one.first else "star-diamond-open", "size": 11},
            cliponaxis=False,
            hovertemplate="%{y:.3~g}",
        )
    _lay_out(made, anatomy, bool(points))
    return made


def _lay_out(made: go.Figure, anatomy: Anatomy, outside: bool) -> None:
    step = max(1, -(-anatomy.count // 8))
    ticks = list(range(0, anatomy.count, step))
    words = [str(tick) for tick in ticks]
    if outside:
        ticks, words = [-1, *ticks, anatomy.count], ["in", *words, "out"]
    made.update_xaxes(
        title={"text": "Layer", "standoff": 2}, tickvals=ticks, ticktext=words,
        range=[-1.5, anatomy.count + 0.5], zeroline=False, fixedrange=True,
    )  # fmt: skip
    made.update_yaxes(rangemode="tozero", zeroline=False, fixedrange=True)
    made.update_layout(
        height=280, margin={"l": 0, "r": 8, "t": 8, "b": 8}, hovermode="closest",
        showlegend=True, legend={"orientation": "h", "y": -0.3, "yanchor": "top", "x": 0},
    )  # fmt: skip


def _value(one: Any, field: OptionField) -> Any:
    """A single value of the kind that the option has; its range is the recipe's business."""
    if schedule_shapes.is_number(field) and (isinstance(one, str | bool) or one is None):
        raise RecipeError(f'"{one}" is no number; write one such as 0.5, or several with commas.')
    return one


def _shown(value: Any) -> Any:
    """A value as the picture's axis takes it."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


def _name(line: Line, everything: Collection[str], names: Sequence[str]) -> str:
    """A line by the parts of the model that it is about; single tensors where it must be."""
    if len(line.rests) == len(everything):
        return "every part of the layer"
    groups: dict[str, list[str]] = {}
    for rest in everything:
        groups.setdefault(_group(rest, names), []).append(rest)
    said: list[str] = []
    for title, rests in groups.items():
        mine = [rest for rest in line.rests if rest in rests]
        whole = len(mine) == len(rests) and title
        said += [title] if whole else [_short(rest) for rest in mine]
    return _few(sorted(said))


def _group(rest: str, names: Sequence[str]) -> str:
    """The part of the model that a tensor belongs to; empty for none."""
    for title in schedule_shapes.PARTS:
        if schedules.matches(schedule_shapes.filter_of(title, names), rest):
            return title
    return ""


def _short(name: str) -> str:
    """The telling end of a tensor's name: `q_proj`, `embed_tokens`."""
    parts = [part for part in name.split(".") if part not in ("weight", "bias")]
    return parts[-1] if parts else name


def _few(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    rest = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def _told(anatomy: Anatomy) -> str:
    said = f"{anatomy.count} layer{'' if anatomy.count == 1 else 's'}"
    if anatomy.label is None:
        return f"None of the models is on this machine yet: drawn for a model of {said}."
    return f"Drawn for the {said} of {problems.as_text(anatomy.label)}."


def _unused(value: Any, anatomy: Anatomy) -> list[str]:
    """Filters that mean nothing in this model: usually a slip."""
    names = [part.name for part in anatomy.parts]
    return [
        one
        for one in dict.fromkeys(schedules.filters(value))
        if not any(schedules.matches(one, name) for name in names)
    ]
