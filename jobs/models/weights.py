"""A merge's weights as its recipe has them: numbers, or schedules, which no column holds."""

from __future__ import annotations

import functools
from typing import Any

from db.queries.models import ModelRow


def of_parents(row: ModelRow) -> list[Any]:
    """The weight of each of a merge's parents, in the order of `row.parents`.

    Returns:
        A number or a schedule in the recipe's own form; None for the base, and where the method
        takes no weights. Of a merge without a readable recipe what the table says.
    """
    stored = [None if one.role == "base" else one.weight for one in row.parents]
    listed = _listed(row.recipe_yaml or "")
    if listed is None:
        return stored
    if len(listed) == len(row.parents):
        return [weight for _, weight in listed]
    by_name = dict(listed)  # a parent that was unknown here has no row
    return [by_name.get(one.name, kept) for one, kept in zip(row.parents, stored, strict=True)]


def in_words(weight: Any) -> str:
    """`weight 0.5`, `weight 0 → 1`; empty for none."""
    from merging.recipes import schedules

    return "" if weight is None else f"weight {schedules.in_words(weight)}"


@functools.lru_cache(maxsize=512)
def _listed(recipe_yaml: str) -> tuple[tuple[str, Any], ...] | None:
    """A recipe's parents with their weights; None when the text cannot be read."""
    from merging.errors import RecipeError
    from merging.recipes.recipe import Recipe

    try:
        recipe = Recipe.from_yaml(recipe_yaml)
    except RecipeError:
        return None
    weighted = recipe.merge_method.uses_weights
    base = [] if recipe.base is None else [(recipe.base, None)]
    models = [(one.model, one.weight if weighted else None) for one in recipe.models]
    return (*base, *models)
