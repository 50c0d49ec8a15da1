"""Finding a recipe's parents on this machine, downloading what is on the Hub."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.describe import describe
from jobs.kinds import Event

if TYPE_CHECKING:
    from merging.recipe import Recipe


def locate(spec: Mapping[str, Any]) -> Generator[Event, None, tuple[Recipe, dict[str, Path]]]:
    """The recipe tied to its parents' content, and their folders.

    Args:
        spec: `recipe` (YAML), `sources` (reference to folder or Hub id), `known` (signature to
            fingerprint).

    Raises:
        ModelError, HubError: a parent that cannot be had.
    """
    from merging.recipe import Recipe

    recipe = Recipe.from_yaml(spec["recipe"])
    revisions = {one.model: one.revision for one in recipe.models}
    revisions[recipe.base or ""] = recipe.base_revision
    folders: dict[str, Path] = {}
    prints: dict[str, str] = {}
    for ref in recipe.references:
        source = spec["sources"].get(ref, ref)
        folders[ref] = yield from find(source, revisions.get(ref))
        prints[ref] = describe(folders[ref], spec["known"])["fingerprint"]
    return recipe.pinned(prints), folders


def find(source: str, revision: str | None) -> Generator[Event, None, Path]:
    """A model's folder; a Hub id is downloaded when it is not in the local cache."""
    from merging.errors import HubError
    from merging.sources import resolve

    if Path(source).is_absolute():
        return resolve(source, {})
    try:
        return resolve(source, {}, revision=revision, download=False)
    except HubError:
        yield {"kind": "stage", "stage": f"Downloading {source}"}
        return resolve(source, {}, revision=revision)
