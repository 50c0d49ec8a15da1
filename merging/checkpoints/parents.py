"""The parents of a merge, opened together and brought to the same set of tensors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from merging.checkpoints.checkpoint import Checkpoint
from merging.errors import RecipeError
from merging.formats.bases import open_model
from merging.recipes.recipe import Constituent, Recipe
from merging.tokenizers.planning import vocabulary_of
from merging.tokenizers.vocabulary import Vocabulary


@dataclass(frozen=True)
class Parents:
    """Opened parents of a recipe.

    Attributes:
        recipe: what they are merged by.
        by_ref: every parent once.
        constituents: the recipe's models in the order in which they are computed.
        tied: whether the result ties its output embedding to its input embedding.
        vocabulary: tokens and embedding rows of the result, and where each parent's rows lie.
    """

    recipe: Recipe
    by_ref: Mapping[str, Checkpoint]
    constituents: tuple[Constituent, ...]
    tied: bool
    vocabulary: Vocabulary

    @property
    def base(self) -> Checkpoint | None:
        """The base, when the recipe has one."""
        return None if self.recipe.base is None else self.by_ref[self.recipe.base]

    @property
    def models(self) -> list[Checkpoint]:
        """The other parents in the order in which they are computed; one may appear twice."""
        return [self.by_ref[one.model] for one in self.constituents]

    @property
    def reference(self) -> Checkpoint:
        """The parent whose config and tensor dtypes the result has."""
        return self.by_ref[self.recipe.config_donor]

    @property
    def in_order(self) -> list[Checkpoint]:
        """Every parent once, the reference first."""
        return _reference_first(self.recipe, self.by_ref)

    def constituent(self, ref: str) -> Constituent:
        """The recipe's entry for a model; the first one where it has several."""
        return next(one for one in self.constituents if one.model == ref)


@contextlib.contextmanager
def open_parents(recipe: Recipe, folders: Mapping[str, Path]) -> Iterator[Parents]:
    """Open all parents of a recipe by their headers.

    Args:
        recipe: what to merge.
        folders: reference -> folder, for every parent, and for the bases of adapters (see
            `merging.formats.bases.base_wanted`).

    Raises:
        ModelError: a folder cannot be opened.
        RecipeError: a parent has no folder.
    """
    with contextlib.ExitStack() as stack:
        by_ref = {}
        for ref in recipe.references:
            if ref not in folders:
                raise RecipeError(f'The recipe\'s model "{ref}" has not been found.')
            by_ref[ref] = stack.enter_context(open_model(ref, folders, recipe_base=recipe.base))
        tied = _agree_on_head(list(by_ref.values()))
        yield Parents(
            recipe=recipe,
            by_ref=by_ref,
            constituents=tuple(recipe.in_merge_order()),
            tied=tied,
            vocabulary=vocabulary_of(recipe, _reference_first(recipe, by_ref)),
        )


def _reference_first(recipe: Recipe, by_ref: Mapping[str, Checkpoint]) -> list[Checkpoint]:
    """Every parent once, the one that gives the config first."""
    reference = by_ref[recipe.config_donor]
    return [reference, *(one for one in by_ref.values() if one is not reference)]


def _agree_on_head(parents: list[Checkpoint]) -> bool:
    """Treat output embeddings alike: none of their own if all are tied, else one for each.

    Returns:
        Whether all are tied.
    """
    tied = all(one.is_tied for one in parents)
    for one in parents:
        if tied and one.head is not None:
            # stored beside a tied embedding it is a copy, or it is ignored by every loader
            one.tensors.pop(one.head[0], None)
        elif not tied:
            one.untie()
    return tied
