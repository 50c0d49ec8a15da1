"""Models by name: what can be merged, scored and talked to, and what is known about each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from merging.plan import Plan
    from merging.recipe import Recipe


def register_model(
    ref: str, *, name: str | None = None, role: str | None = None, domain: str | None = None
) -> int:
    """Put a folder or a Hub id into the registry and return its number.

    A folder's headers and configuration are read and checked; a Hub id that is not in the local
    cache is registered by name only and looked at when a job downloads it. A model that is there
    already is brought up to date.

    Raises:
        ModelError: a folder without usable weights.
        JobError: a name that is taken or cannot be one.
    """
    raise NotImplementedError


def ensure_sandbox() -> int:
    """Register the shipped models as sandbox/base, sandbox/finance ...; return how many there are."""
    raise NotImplementedError


def names() -> Mapping[str, str]:
    """Registered name to folder or Hub id."""
    raise NotImplementedError


def compatibility(
    recipe: Recipe | str, out: Path | None = None, *, device: str = "auto", name: str | None = None
) -> Plan:
    """Check a recipe against its models, the memory and the disk, without downloading anything."""
    raise NotImplementedError


def archive(name: str, *, archived: bool = True) -> None:
    """Hide a model from the lists, or show it again; its scores stay."""
    raise NotImplementedError


def delete_model(name: str, *, files: bool = False) -> None:
    """Take a model and its scores out of the registry; `files` also removes a merge's own folder."""
    raise NotImplementedError
