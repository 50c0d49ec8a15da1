"""The shipped designs: `recipes/studies/*.yaml`, each with a title and one line of story on top."""

from __future__ import annotations

import re
from functools import cache

from pages.components.gallery import FOLDER, Example

_HEADER = re.compile(r"^# (Title|Story): (.+)$", re.MULTILINE)
FIRST = "sandbox-three-stages"


@cache
def designs() -> tuple[Example, ...]:
    """The one that runs on every machine first."""
    found = []
    for path in (FOLDER / "studies").glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        said = dict(_HEADER.findall(text))
        found.append(Example(path.stem, said.get("Title", path.stem), said.get("Story", ""), text))
    return tuple(sorted(found, key=lambda one: (one.key != FIRST, one.key)))


def design(key: str) -> Example | None:
    """One by its key, or None."""
    return next((one for one in designs() if one.key == key), None)
