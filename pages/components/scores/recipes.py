"""Compare, third tab: how the models were made; only what differs, unless asked for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st
import yaml

from db.queries import compare
from db.queries.compare import Details
from merging.errors import RecipeError
from merging.recipes import schedules
from pages.components import links
from pages.components import words as units
from pages.components.problems import as_text
from pages.components.scores.picks import Comparison

NOTHING = "–"


def draw(comparison: Comparison) -> None:
    """The table of settings, and each recipe as YAML."""
    found = compare.details(comparison.ids)
    models = [found[i] for i in comparison.ids if i in found]
    everything = st.toggle("Show what is the same, too", key="all_settings", bind="query-params")
    made = [d for d in models if d.recipe_yaml]
    if len(made) > 1 and not everything:
        models = made  # beside two recipes, a model without one differs in everything
    settings = {d.name: flat(d) for d in models}
    names = differing(settings) if len(models) > 1 and not everything else all_names(settings)
    if len(models) < len(found):
        others = [d.name for d in found.values() if d not in models]
        st.caption(f"Without a recipe, and left out: {as_text(', '.join(others))}.")
    if not names:
        st.success("These models were made in the same way.", icon=":material/equal:")
    else:
        data = pd.DataFrame(
            {
                "Setting": names,
                **{
                    model: [values.get(name, NOTHING) for name in names]
                    for model, values in settings.items()
                },
            }
        )
        st.dataframe(
            data,
            hide_index=True,
            height="content",
            key="recipe_differences",
            column_config={"Setting": st.column_config.TextColumn(pinned=True)},
            alt="Settings of the models, one column each",
        )
        st.download_button(
            "CSV", lambda: data.to_csv(index=False), "recipes.csv", "text/csv",
            key="recipes_csv", on_click="ignore", type="tertiary", icon=":material/download:",
        )  # fmt: skip
    for model in models:
        if model.recipe_yaml:
            with st.expander(f"Recipe of {as_text(model.name)}", icon=":material/receipt_long:"):
                st.code(model.recipe_yaml, language="yaml")
                links.link("build", "Clone this recipe", icon=":material/content_copy:",
                           **{"from": model.id})  # fmt: skip


def flat(model: Details) -> dict[str, str]:
    """A model's settings by dotted name: what it is, and its recipe when it has one."""
    said: dict[str, str] = {"role": model.role}
    for name, value in (
        ("method", model.method), ("domain", model.domain), ("dtype", model.dtype),
        ("parameters", units.count(model.n_parameters) if model.n_parameters else None),
        ("revision", model.revision), ("source", model.source or None),
    ):  # fmt: skip
        if value:
            said[name] = str(value)
    try:
        recipe = yaml.safe_load(model.recipe_yaml or "")
    except yaml.YAMLError:
        recipe = None
    if isinstance(recipe, Mapping):
        said.pop("source", None)  # a folder's name says nothing about how a merge was made
        for name, value in recipe.items():
            if name == "models" and isinstance(value, Sequence):
                said.update(_constituents(value))
            elif name == "slices" and isinstance(value, Sequence):
                said.update(_slices(value))
            elif name != "name":
                _flatten(str(name), value, said)
    return said


def _constituents(models: Sequence[Any]) -> dict[str, str]:
    """By the model's name, so that two recipes with other orders can be held together."""
    said: dict[str, str] = {}
    for model in models:
        if isinstance(model, Mapping):
            rest = {k: v for k, v in model.items() if k != "model"}
            _flatten(str(model.get("model")), rest, said)
    return said


def _flatten(name: str, value: Any, said: dict[str, str]) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _flatten(f"{name}.{key}", inner, said)
    elif value is not None:
        text = _in_words(value)
        said[name] = text[:12] if name.endswith("fingerprint") else text


def _in_words(value: Any) -> str:
    """A schedule in words; anything else as it stands in the text."""
    if not isinstance(value, list):
        return str(value)
    try:
        return schedules.in_words(schedules.settle(value, "it", lambda one: one))
    except RecipeError:  # another kind of list
        return str(value)


def _slices(value: Sequence[Any]) -> dict[str, str]:
    """Where the layers come from, slice by slice."""
    said: dict[str, str] = {}
    for number, part in enumerate(value, 1):
        sources = part.get("sources", ()) if isinstance(part, Mapping) else ()
        for one in sources:
            name = f"slices.{number}.{one.get('model')}"
            _flatten(name, {k: v for k, v in one.items() if k not in ("model", "layers")}, said)
            if isinstance(one.get("layers"), list) and len(one["layers"]) == 2:
                start, end = one["layers"]
                said[f"{name}.layers"] = f"from {start} up to, not with, {end}"
        options = part.get("options") if isinstance(part, Mapping) else None
        _flatten(f"slices.{number}", options, said)
    return said


def all_names(settings: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Every setting of any model, in order of first appearance."""
    return list(dict.fromkeys(name for values in settings.values() for name in values))


def differing(settings: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The settings that are not the same in all models; one that a model lacks differs."""
    return [
        name
        for name in all_names(settings)
        if len({values.get(name) for values in settings.values()}) > 1
    ]
