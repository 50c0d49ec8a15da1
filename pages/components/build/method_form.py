"""The Build form's middle: the method, its options, the models' weights and own values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from jobs.models import anatomy as anatomies
from merging.methods import OptionField
from pages.components import problems
from pages.components.build import (
    keys,
    method_picker,
    option_fields,
    schedule_editor,
    schedule_field,
    schedule_shapes,
)
from pages.components.build.draft import Draft, Slot
from pages.components.build.schedule_field import Setting


def draw(draft: Draft) -> None:
    """Draw it and update the draft from it."""
    draft.method = method_picker.draw(draft)
    method = draft.merge_method
    st.markdown(method.summary)
    paper = f" · [arXiv:{method.paper}](https://arxiv.org/abs/{method.paper})"
    st.caption(f"When to use: {method.when_to_use}{paper if method.paper else ''}")
    anatomy = anatomies.of_models(draft.references, draft.slices)
    names = [part.name for part in anatomy.parts]
    _grid(draft, _options(draft, names), 2, anatomy)
    weights = _weights(draft, names)
    if weights:
        st.caption("Weights")
        _grid(draft, weights, 3, anatomy)
    _own_values(draft, names, anatomy)


def _options(draft: Draft, names: Sequence[str]) -> list[Setting]:
    return [
        _setting(
            draft,
            Slot("option", field.name),
            field,
            field.title,
            f"option_{draft.method}_{field.name}",
            names,
        )
        for field in draft.merge_method.fields()
    ]


def _weights(draft: Draft, names: Sequence[str]) -> list[Setting]:
    """A weight for every constituent, for methods that have any."""
    if not draft.merge_method.uses_weights:
        return []
    return [
        _setting(
            draft, Slot("weight", model=ref), schedule_shapes.WEIGHT, ref, f"weight_{ref}", names
        )
        for ref, _ in draft.models
    ]


def _own_values(draft: Draft, names: Sequence[str], anatomy: Any) -> None:
    """For each model, the options that it may have a value of its own for."""
    fields = draft.per_model()
    own = [draft.get(Slot("own", field.name, ref)) for field in fields for ref, _ in draft.models]
    if not fields or (len(draft.models) < 2 and all(one is None for one in own)):
        return  # the method has no such options; a model alone has what all have
    title = " and ".join(field.title.lower() for field in fields)
    with st.expander(
        f"Own values: a different {title} for each model",
        expanded=any(one is not None for one in own),
        key=f"{keys.PREFIX}own_values_{draft.method}",
        type="compact",
    ):
        settings = [
            _setting(
                draft,
                Slot("own", field.name, ref),
                field,
                f"{field.title} of {ref}",
                f"own_{draft.method}_{ref}_{field.name}",
                names,
            )
            for ref, _ in draft.models
            for field in fields
        ]
        _grid(draft, settings, 2, anatomy)


def _setting(
    draft: Draft, slot: Slot, field: OptionField, label: str, name: str, names: Sequence[str]
) -> Setting:
    return Setting(slot, field, label, name, keys.mark(draft, name), names)


def _grid(draft: Draft, settings: Sequence[Setting], columns: int, anatomy: Any) -> None:
    """Settings side by side; the editors of those that are schedules below, one after another."""
    columns = min(columns, len(settings))
    for start in range(0, len(settings), columns or 1):
        cells = st.columns(columns, gap="medium")  # row by row: they stack in order on a phone
        for cell, setting in zip(cells, settings[start : start + columns], strict=False):
            with cell:
                schedule_field.draw(draft, setting, _widget(setting))
    for setting in settings:
        if schedule_shapes.mode_of(draft.get(setting.slot)) in ("layers", "modules"):
            schedule_editor.draw(draft, setting, anatomy, _otherwise(draft, setting))


def _otherwise(draft: Draft, setting: Setting) -> list[Any]:
    """What counts where no filter of a setting matches."""
    default = setting.field.default
    if setting.slot.kind != "own":
        return [default]
    common = draft.get(Slot("option", setting.slot.option))
    return [common, default]


def _widget(setting: Setting) -> Any:
    """What draws the widget for a single value."""
    if setting.slot.kind == "weight":
        return lambda field, key: _weight(setting.label, key)
    labelled = replace(setting.field, title=problems.as_text(setting.label))
    return lambda field, key: option_fields.widget(labelled, key)


def _weight(ref: str, key: str) -> Any:
    return st.number_input(
        problems.as_text(ref), min_value=-100.0, max_value=100.0, step=0.05, key=key
    )
