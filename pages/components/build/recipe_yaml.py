"""The recipe as text beside the Build form."""

from __future__ import annotations

from merging.errors import RecipeError
from merging.recipes.recipe import Recipe
from pages.components.build import mergekit_download, recipe_form
from pages.components.build.draft import Draft
from pages.components.yaml_text import YamlText


def draw(recipe: Recipe | None) -> None:
    """Draw the text view; a recipe that cannot be made yet leaves the last text standing."""
    text, name = (recipe.to_yaml(), recipe.name) if recipe else (None, None)
    TEXT.draw(text, name, more=lambda: mergekit_download.draw(recipe))


def load(text: str | bytes, *, clone: bool = False) -> None:
    """Put a recipe into the form.

    Args:
        text: the recipe's YAML.
        clone: leave the name and the fingerprints out: what is built from a clone gets its own.

    Raises:
        RecipeError: one sentence; the form stays as it was.
    """
    draft = Draft.from_recipe(Recipe.from_yaml(text))
    if clone:
        draft.name, draft.pins = "", {}
    recipe_form.put(draft)
    TEXT.settled()


TEXT = YamlText("build", "recipe", 340, load, RecipeError)
holds_start = TEXT.holds_start
