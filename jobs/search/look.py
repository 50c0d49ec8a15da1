"""A search's design in the making: what it takes, and which of its parts stand in the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from db.queries import searches as search_rows
from jobs.search import planning, state
from search.design import SearchDesign
from search.errors import SearchError

if TYPE_CHECKING:
    from db.queries.searches import SearchRow
    from search.estimate import SearchPlan

__all__ = ["Look", "SearchPlan", "look"]


@dataclass(frozen=True)
class Look:
    """What is known of a design before the start.

    Attributes:
        design: None while it cannot be made.
        plan: None while something stands in the way.
        problems: part (`search.errors.SearchError.part`) -> sentence.
        there: the search of this name, which a start goes on with.
    """

    design: SearchDesign | None = None
    plan: SearchPlan | None = None
    problems: Mapping[str, str] = field(default_factory=dict)
    there: SearchRow | None = None


def look(data: Mapping[str, Any]) -> Look:
    """Check a design as far as it goes; nothing is raised for what is wrong with it.

    Args:
        data: of the design, as parsed YAML has it.
    """
    from jobs.search.submit import check_kept

    try:
        design = SearchDesign.from_mapping(data)
    except SearchError as error:
        return Look(problems={error.part or "items": str(error)})
    there = search_rows.search(design.name)
    if there is not None:
        try:
            before = state.design_of(there)
            prints = {ref: one for ref, one in _prints(before).items() if ref in design.references}
            check_kept(before, design.pinned(prints))
        except SearchError as error:
            return Look(design, problems={"name": str(error)}, there=there)
    try:
        return Look(design, planning.plan(design), there=there)
    except Exception as error:
        if not hasattr(error, "exit_code"):
            raise
        part = getattr(error, "part", "") or "models"
        return Look(design, problems={part: str(error)}, there=there)


def _prints(design: SearchDesign) -> dict[str, str]:
    """The fingerprints that a design is tied to."""
    found = {one["model"]: one.get("fingerprint") for one in design.recipe["models"]}
    if design.recipe.get("base"):
        found[design.recipe["base"]] = design.recipe.get("base_fingerprint")
    return {ref: str(one) for ref, one in found.items() if one}
