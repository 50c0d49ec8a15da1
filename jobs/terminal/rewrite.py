"""A recipe file written anew: in full, or as another tool reads it."""

from __future__ import annotations

from jobs.errors import JobError
from jobs.models import recipes, registry

TOOLS = ("crucible", "mergekit")


def rewritten(file: str, to: str) -> str:
    """The YAML of a recipe.

    Args:
        file: path of a recipe of ours or of mergekit.
        to: "crucible" for ours with every default written out; "mergekit" for mergekit's, models
            by their folders or Hub ids.

    Raises:
        JobError, RecipeError: one sentence.
    """
    if to not in TOOLS:
        raise JobError(f'There is no "{to}" to write a recipe for; choose {" or ".join(TOOLS)}.')
    recipe = recipes.parse(recipes.read_recipe(file))
    if to == "crucible":
        return recipe.to_yaml()
    registry.ensure_sandbox()
    return recipe.to_mergekit(registry.names())
