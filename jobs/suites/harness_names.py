"""lm-eval's task names for the picker: read from the kept index, never made while a page waits."""

from __future__ import annotations

from dataclasses import dataclass

from evaluation.harness.catalogue import Entry, catalogue, installed_version


@dataclass(frozen=True, slots=True)
class State:
    """Whether names can be looked up.

    Attributes:
        version: of lm-eval as installed; empty for none.
        names: how many are indexed; 0 when another version was indexed or none.
    """

    version: str
    names: int


def state() -> State:
    """Whether the installed version's names are indexed."""
    return State(installed_version(), len(catalogue().entries))


def search(text: str, most: int) -> list[Entry]:
    """Names that have every word of a text, groups first, then the shorter ones."""
    return catalogue().search(text, most)


def nearest(name: str) -> str:
    """The name most like another, empty for none."""
    return catalogue().nearest(name)
