"""Widgets made from what a merge method declares about its options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from merging.methods import OptionField


def draw(fields: list[OptionField], values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """One widget per option, two in a row; returns the values by name.

    Args:
        fields: the method's options in order.
        values: the present values.
        prefix: start of the widgets' keys, one per method.
    """
    chosen: dict[str, Any] = {}
    if not fields:
        return chosen
    columns = st.columns(2 if len(fields) > 1 else 1, gap="medium")
    for place, field in enumerate(fields):
        key = f"{prefix}{field.name}"
        if key not in st.session_state:
            st.session_state[key] = values[field.name]
        with columns[place % len(columns)]:
            chosen[field.name] = _widget(field, key)
    return chosen


def _widget(field: OptionField, key: str) -> Any:
    """The widget that suits the option's kind and range; its value lives under `key`."""
    if field.kind == "bool":
        return st.toggle(field.title, key=key, help=field.help)
    if field.kind == "choice":
        return st.selectbox(field.title, field.choices, key=key, help=field.help)
    if field.kind == "text":
        return st.text_input(field.title, key=key, help=field.help)
    if field.minimum is not None and field.maximum is not None:
        return _slider(field, key)
    whole = field.kind == "int"
    return st.number_input(
        field.title,
        min_value=_as(field.minimum, whole),
        max_value=_as(field.maximum, whole),
        step=_as(field.step, whole) or (1 if whole else 0.05),
        key=key,
        help=field.help,
    )


def _slider(field: OptionField, key: str) -> Any:
    whole = field.kind == "int"
    return st.slider(
        field.title,
        min_value=_as(field.minimum, whole),
        max_value=_as(field.maximum, whole),
        step=_as(field.step, whole) or (1 if whole else 0.01),
        key=key,
        help=field.help,
    )


def _as(number: float | None, whole: bool) -> int | float | None:
    if number is None:
        return None
    return int(number) if whole else float(number)
