"""Recipes as files and texts, before anything is asked of the database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jobs import devices
from jobs.errors import JobError

if TYPE_CHECKING:
    from merging.recipes.recipe import Recipe

RECIPE_SUFFIXES = (".yaml", ".yml")
DEVICES = ("auto", "cpu", "cuda")


def is_recipe(ref: str) -> bool:
    """Whether a model is given as a recipe file."""
    return ref.lower().endswith(RECIPE_SUFFIXES)


def parse(recipe: Recipe | str) -> Recipe:
    """The recipe itself, from its YAML text if need be."""
    from merging.recipes.recipe import Recipe

    return Recipe.from_yaml(recipe) if isinstance(recipe, str) else recipe


def check_device(device: str) -> None:
    """Refuse a device that is none, or that this machine does not have.

    Raises:
        JobError: in one sentence.
    """
    if device not in DEVICES:
        raise JobError(f"There is no device {device!r}; choose one of {', '.join(DEVICES)}.")
    if device == "cuda" and devices.devices() == ["cpu"]:
        raise JobError("This machine has no CUDA device. Choose cpu or auto.")


def read_recipe(ref: str) -> str:
    """The text of a recipe file.

    Raises:
        JobError: it cannot be read.
    """
    path = Path(ref).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise JobError(f"The recipe {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise JobError(f"The recipe {path} is not a text file.") from error
