"""The example recipes: `recipes/*.yaml`, each with a title and one line of story on top."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "recipes"
_HEADER = re.compile(r"^# (Title|Story): (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Example:
    """A shipped file to begin with. `key` names it in addresses."""

    key: str
    title: str
    story: str
    text: str


@cache
def examples() -> tuple[Example, ...]:
    """The gallery in its own order; the first is where a newcomer starts."""
    paths = sorted(FOLDER.glob("*.yaml"), key=_number)
    return tuple(read(path, path.stem.partition("-")[2]) for path in paths)


def example(key: str) -> Example | None:
    """One example by its key, or None."""
    return next((each for each in examples() if each.key == key), None)


def _number(path: Path) -> tuple[int, str]:
    """The number in front of a file's name, which orders the gallery."""
    number = path.stem.partition("-")[0]
    return (int(number) if number.isdecimal() else 1_000_000, path.stem)


def read(path: Path, key: str) -> Example:
    """A file with its title and its story, which stand in its first lines."""
    text = path.read_text(encoding="utf-8")
    said = dict(_HEADER.findall(text))
    return Example(key, said.get("Title", key), said.get("Story", ""), text)
