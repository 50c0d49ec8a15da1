"""LoRA adapters among the registered models: the bases that they need besides themselves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from db.queries import models as model_rows
from jobs.errors import JobError


def is_adapter(source: str) -> bool:
    """Whether a model's source is a folder with a LoRA adapter."""
    from merging.formats.bases import is_adapter as found

    return Path(source).is_absolute() and found(Path(source))


def bases(sources: Mapping[str, str]) -> dict[str, str]:
    """What the adapters among a recipe's models are applied to.

    Args:
        sources: reference to folder or Hub id.

    Returns:
        Reference of each base, as the adapter or `BASE+ADAPTER` names it, to its folder or Hub id.

    Raises:
        ModelError: an adapter that is not readable.
    """
    from merging.formats.bases import base_wanted

    names = model_rows.names()
    found = {}
    for ref, source in sources.items():
        wanted = base_wanted(ref, Path(source)) if is_adapter(source) else None
        if wanted is not None:
            found[wanted[0]] = names.get(wanted[0], wanted[0])
    return found


def folders_of_bases(sources: Mapping[str, str]) -> dict[str, Path]:
    """The bases that are on this disk; nothing is downloaded."""
    from merging.checkpoints.sources import resolve
    from merging.errors import MergingError

    found = {}
    for ref, source in bases(sources).items():
        try:
            found[ref] = resolve(source, {}, download=False)
        except MergingError:
            continue  # the job looks for it, or takes the recipe's base
    return found


def halves(ref: str) -> tuple[str, str] | None:
    """Base and adapter of a reference spelled `BASE+ADAPTER`, which is no name and no folder."""
    from merging.formats.bases import split_reference

    if model_rows.model(ref) is not None or Path(ref).expanduser().exists():
        return None
    return split_reference(ref)


def require_adapter(ref: str, source: str) -> None:
    """Refuse what stands behind the plus when it is no adapter.

    Raises:
        JobError: in one sentence.
    """
    if Path(source).is_absolute() and not is_adapter(source):
        raise JobError(f"“{ref}” is no LoRA adapter, so nothing can stand before it with a plus.")


def as_recipe(name: str, source: str) -> dict[str, Any]:
    """The part of a job's spec by which an adapter is put onto its base in memory."""
    from merging.recipes.recipe import Recipe

    recipe = Recipe(method="passthrough", models=[{"model": name}])
    return {"recipe": recipe.to_yaml(), "sources": {name: source, **bases({name: source})}}
