"""The design as text beside the search form."""

from __future__ import annotations

from pages.components.search import form
from pages.components.search.draft import Draft
from pages.components.yaml_text import YamlText
from search.design import SearchDesign
from search.errors import SearchError


def draw(design: SearchDesign | None) -> None:
    """Draw the text view; a design that cannot be made yet leaves the last text standing."""
    text, name = (design.to_yaml(), design.name) if design else (None, "search")
    TEXT.draw(text, name)


def load(text: str | bytes) -> None:
    """Put a design into the form.

    Raises:
        SearchError: one sentence; the form stays as it was.
    """
    form.put(Draft.from_design(SearchDesign.from_yaml(text)))
    TEXT.settled()


TEXT = YamlText("search", "design", 420, load, SearchError)
holds_start = TEXT.holds_start
