"""Widgets made from what a merge method declares about its options."""

from __future__ import annotations

from typing import Any

import streamlit as st

from merging.methods import OptionField


def widget(field: OptionField, key: str) -> Any:
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
