"""The shipped searches: `recipes/searches/*.yaml`, each with a title and one line of story."""

from __future__ import annotations

from functools import cache

from pages.components import gallery
from pages.components.gallery import Example

FIRST = "sandbox-weights"


@cache
def designs() -> tuple[Example, ...]:
    """The simplest one first."""
    found = [gallery.read(path, path.stem) for path in (gallery.FOLDER / "searches").glob("*.yaml")]
    return tuple(sorted(found, key=lambda one: (one.key != FIRST, one.key)))


def design(key: str) -> Example | None:
    """One by its key, or None."""
    return next((one for one in designs() if one.key == key), None)
