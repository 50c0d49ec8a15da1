"""Finding a recipe's parents on this machine, downloading what is on the Hub."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.kinds import Event
from jobs.models.describe import describe

if TYPE_CHECKING:
    from merging.recipes.recipe import Recipe


def locate(spec: Mapping[str, Any]) -> Generator[Event, None, tuple[Recipe, dict[str, Path]]]:
    """The recipe tied to its parents' content, and their folders.

    Args:
        spec: `recipe` (YAML), `sources` (reference to folder or Hub id), `known` (signature to
            fingerprint).

    Raises:
        ModelError, HubError: a parent that cannot be had.
    """
    from merging.checkpoints.fingerprints import fingerprint_of
    from merging.formats.bases import open_model
    from merging.recipes.recipe import Recipe

    recipe = Recipe.from_yaml(spec["recipe"])
    revisions = {one.model: one.revision for one in recipe.models}
    revisions[recipe.base or ""] = recipe.base_revision
    folders: dict[str, Path] = {}
    prints: dict[str, str] = {}
    for ref in recipe.references:
        source = spec["sources"].get(ref, ref)
        folders[ref] = yield from find(source, revisions.get(ref))
    yield from _add_bases(recipe, spec["sources"], folders)
    for ref in recipe.references:
        prints[ref] = describe(folders[ref], spec["known"])["fingerprint"]
        if prints[ref] is None:
            with open_model(ref, folders, recipe_base=recipe.base) as model:
                prints[ref] = fingerprint_of(model)
    return recipe.pinned(prints), folders


def _add_bases(
    recipe: Recipe, sources: Mapping[str, str], folders: dict[str, Path]
) -> Iterator[Event]:
    """Find what the adapters are applied to; where it is not to be had, the recipe's base serves.

    Raises:
        ModelError, HubError: no base at all.
    """
    from merging.errors import MergingError
    from merging.formats.bases import base_wanted, split_reference

    for ref in recipe.references:
        wanted = base_wanted(ref, folders[ref])
        if wanted is None or wanted[0] in folders:
            continue
        base, revision = wanted
        try:
            folders[base] = yield from find(sources.get(base, base), revision)
        except MergingError:
            if recipe.base in (None, ref) or split_reference(ref) is not None:
                raise
            yield {
                "kind": "warning",
                "text": f"{base}, which {ref} was trained on, is not to be had: the adapter is "
                f"applied to {recipe.base}.",
            }


def find(source: str, revision: str | None) -> Generator[Event, None, Path]:
    """A model's folder; a Hub id is downloaded when it is not in the local cache."""
    from merging.checkpoints.sources import resolve
    from merging.errors import HubError

    if Path(source).is_absolute():
        return resolve(source, {})
    try:
        return resolve(source, {}, revision=revision, download=False)
    except HubError:
        yield {"kind": "stage", "stage": f"Downloading {source}"}
        return resolve(source, {}, revision=revision)
