"""Whether a point of a study is a model already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobs.models import recipes
from merging.recipes.recipe import Recipe

if TYPE_CHECKING:
    from db.queries.models import ModelRow


def made(steps: Sequence[str]) -> ModelRow | None:
    """The merge that these recipes make, if it is there with its files; None for two steps."""
    if len(steps) != 1:
        return None
    try:
        found = recipes.made_before(recipes.parents_of(Recipe.from_yaml(steps[0]))[0])
    except Exception as error:  # parents that are gone: then it cannot be made, either
        if not hasattr(error, "exit_code"):
            raise
        return None
    return found if found is not None and found.source else None
