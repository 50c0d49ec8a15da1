"""The models of a search in the registry, and the design tied to their present content."""

from __future__ import annotations

from pathlib import Path

from db.queries import models as model_rows
from db.queries.models import ModelRow
from jobs.models import adapters, recipes, registry
from search.design import SearchDesign


def register(design: SearchDesign) -> dict[str, ModelRow]:
    """Put every model of a design into the registry; reference -> its row.

    Raises:
        ModelError, JobError: a model that is nothing of a name, a folder and a Hub id.
    """
    return {ref: recipes.get(registry.register_model(ref)) for ref in design.references}


def rows(design: SearchDesign) -> dict[str, ModelRow]:
    """The registered ones among a design's models; reference -> row."""
    by_source = {source: name for name, source in model_rows.names().items()}
    found = {}
    for ref in design.references:
        row = model_rows.model(ref)
        if row is None and ref in by_source:
            row = model_rows.model(by_source[ref])
        if row is None and (folder := str(Path(ref).expanduser().absolute())) in by_source:
            row = model_rows.model(by_source[folder])
        if row is not None:
            found[ref] = row
    return found


def pinned(design: SearchDesign, known: dict[str, ModelRow]) -> SearchDesign:
    """The design, tied to the content that its models are known to have."""
    prints = {
        ref: str(row.fingerprint)
        for ref, row in known.items()
        if row.fingerprint is not None and adapters.halves(ref) is None
    }
    return design.pinned(prints)


def domains(known: dict[str, ModelRow], design: SearchDesign) -> list[str]:
    """The domains that the recipe's models, the base aside, are experts in."""
    base = design.recipe.get("base")
    return [row.domain for ref, row in known.items() if ref != base and row.domain]
