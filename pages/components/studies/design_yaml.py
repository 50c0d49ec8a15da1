"""The design as text beside the study form."""

from __future__ import annotations

from pages.components.studies import form
from pages.components.studies.draft import Draft
from pages.components.yaml_text import YamlText
from studies.design import Design
from studies.errors import StudyError


def draw(design: Design | None) -> None:
    """Draw the text view; a design that cannot be made yet leaves the last text standing."""
    text, name = (design.to_yaml(), design.name) if design else (None, "study")
    TEXT.draw(text, name)


def load(text: str | bytes) -> None:
    """Put a design into the form.

    Raises:
        StudyError: one sentence; the form stays as it was.
    """
    form.put(Draft.from_design(Design.from_yaml(text)))
    TEXT.settled()


TEXT = YamlText("study", "design", 420, load, StudyError)
holds_start = TEXT.holds_start
