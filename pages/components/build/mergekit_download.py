"""A recipe as mergekit reads it, to download."""

from __future__ import annotations

import streamlit as st

from jobs.models import registry
from merging.errors import RecipeError
from merging.recipes.recipe import Recipe


def draw(recipe: Recipe | None) -> None:
    """Draw the button; what mergekit cannot express is said where the button cannot be pressed.

    Args:
        recipe: None while there is none to be written.
    """
    text, told = "", "The recipe as mergekit 0.1.5 reads it, with the same meaning."
    if recipe is not None:
        try:
            text = recipe.to_mergekit(registry.names())
        except RecipeError as error:
            told = str(error)
    st.download_button(
        "mergekit YAML",
        text,
        file_name=f"{(recipe.name if recipe else None) or 'recipe'}-mergekit.yaml".replace(
            "/", "-"
        ),
        mime="application/yaml",
        icon=":material/download:",
        disabled=not text,
        help=told,
        on_click="ignore",
    )
