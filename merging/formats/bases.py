"""Which model an adapter is applied to, and opening both together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from merging.checkpoints.checkpoint import Checkpoint
from merging.errors import ModelError
from merging.formats.adapter_config import is_adapter, read_adapter_config

__all__ = ["base_wanted", "config_folder", "is_adapter", "open_model", "split_reference"]


def split_reference(ref: str) -> tuple[str, str] | None:
    """The two halves of `BASE+ADAPTER`, mergekit's spelling; None for anything else."""
    base, plus, adapter = ref.rpartition("+")
    return (base, adapter) if plus and base and adapter else None


def base_wanted(ref: str, folder: Path) -> tuple[str, str | None] | None:
    """Which model has to be there besides the one a reference names.

    Args:
        ref: a recipe's reference.
        folder: that it stands for.

    Returns:
        Reference and revision of the adapter's base: what stands before the `+`, else what its
        config names. None when it is no adapter, or names no base.

    Raises:
        ModelError: an adapter whose config is not readable.
    """
    if not is_adapter(folder):
        return None
    explicit = split_reference(ref)
    if explicit is not None:
        return explicit[0], None
    config = read_adapter_config(folder, label=ref)
    return None if config.base is None else (config.base, config.revision)


def open_model(
    ref: str, folders: Mapping[str, Path], *, recipe_base: str | None = None
) -> Checkpoint:
    """Open the model a reference stands for; an adapter on its base.

    The base is the one before the `+`, else the one that the adapter's config names where
    `folders` has it, else the recipe's.

    Args:
        ref: a key of `folders`.
        folders: reference -> folder; bases of adapters under the reference `base_wanted` gives.
        recipe_base: reference of the recipe's base.

    Raises:
        ModelError: a folder cannot be opened, or an adapter's base is not there.
    """
    folder = folders[ref]
    base_ref = _base_of(ref, folders, recipe_base)
    if base_ref is None:
        return Checkpoint.open(folder, label=ref)
    base = open_model(base_ref, folders)
    try:
        return Checkpoint.open(folder, label=ref, base=base)
    except BaseException:
        base.close()
        raise


def config_folder(ref: str, folders: Mapping[str, Path], *, recipe_base: str | None = None) -> Path:
    """The folder with the config.json of the model a reference stands for; see `open_model`."""
    base_ref = _base_of(ref, folders, recipe_base)
    return folders[ref] if base_ref is None else config_folder(base_ref, folders)


def _base_of(ref: str, folders: Mapping[str, Path], recipe_base: str | None) -> str | None:
    """Reference of what a model is an adapter of; None for a whole model."""
    if not is_adapter(folders[ref]):
        return None
    wanted = base_wanted(ref, folders[ref])
    named = wanted[0] if wanted is not None else None
    if named is not None and named in folders:
        found = named
    elif recipe_base is not None and recipe_base != ref and split_reference(ref) is None:
        found = recipe_base
    else:
        raise ModelError(
            f"{ref} is a LoRA adapter whose base "
            + (f"{named} is not here" if named else "is not named in its config")
            + ". Give both as BASE+ADAPTER."
        )
    if is_adapter(folders[found]) and split_reference(found) is None:
        raise ModelError(
            f"{ref} is a LoRA adapter, and so is its base {found}. Give the whole model as "
            "BASE+ADAPTER."
        )
    return found
