"""The models of a study in the registry, and the design tied to their present content."""

from __future__ import annotations

from pathlib import Path

from db.queries import models as model_rows
from db.queries.models import ModelRow
from jobs.models import adapters, recipes, registry
from studies.design import Design


def register(design: Design) -> dict[str, ModelRow]:
    """Put every model of a design into the registry; "base", domain or "instruct" -> its row.

    Raises:
        ModelError, JobError: a model that is nothing of a name, a folder and a Hub id, or whose
            files cannot be used.
    """
    return {
        name: recipes.get(registry.register_model(one.model)) for name, one in design.models.items()
    }


def rows(design: Design) -> dict[str, ModelRow]:
    """The registered ones among a design's models; "base", domain or "instruct" -> row."""
    by_source = {source: name for name, source in model_rows.names().items()}
    found = {}
    for name, one in design.models.items():
        row = model_rows.model(one.model)
        if row is None and one.model in by_source:
            row = model_rows.model(by_source[one.model])
        if row is None and (folder := str(Path(one.model).expanduser().absolute())) in by_source:
            row = model_rows.model(by_source[folder])
        if row is not None:
            found[name] = row
    return found


def pinned(design: Design, known: dict[str, ModelRow]) -> Design:
    """The design, tied to the content that its models are known to have.

    What a model's fingerprint is not known of yet (it has still to be downloaded) stays open, and
    what the design says itself stays as it is.
    """
    prints = {
        one.model: str(row.fingerprint)
        for name, one in design.models.items()
        if (row := known.get(name)) is not None
        and row.fingerprint is not None
        and one.fingerprint is None
        and adapters.halves(one.model) is None
    }
    return design.pinned(prints)


def references(design: Design, known: dict[str, ModelRow]) -> dict[str, ModelRow]:
    """Reference in the recipes -> row."""
    return {one.model: known[name] for name, one in design.models.items() if name in known}
