"""Whether a point of a study is a model already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobs.models import recipes
from jobs.studies import folders
from merging.recipes.recipe import Recipe

if TYPE_CHECKING:
    from db.queries.models import ModelRow


def made(steps: Sequence[str]) -> ModelRow | None:
    """The merge that these recipes make, if it is there with its files."""
    if len(steps) == 1:
        return _made(Recipe.from_yaml(steps[0]))
    second = over_first(steps)
    return None if second is None else _made(second)


def over_first(steps: Sequence[str]) -> Recipe | None:
    """The second of two recipes, over the model that the first one made; None while it did not."""
    below = _made(Recipe.from_yaml(steps[0]))
    return None if below is None else folders.onto(Recipe.from_yaml(steps[1]), below.name)


def _made(recipe: Recipe) -> ModelRow | None:
    try:
        found = recipes.made_before(recipes.parents_of(recipe)[0])
    except Exception as error:  # parents that are gone: then it cannot be made, either
        if not hasattr(error, "exit_code"):
            raise
        return None
    return found if found is not None and found.source else None
