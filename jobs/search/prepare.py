"""What a search's job is given when its process starts, looked up in the worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.models import recipes, registry
from jobs.search import choosing, models, state
from search.errors import SearchError


def complete(spec: Mapping[str, Any], group: str | None) -> dict[str, Any]:
    """What a job's process is given besides its spec.

    Args:
        spec: `search_id`, and `lane` or `choose`.
        group: of the job; what the last job has scored on held-out items belongs to it.

    Raises:
        SearchError: the search is not there any more, or nothing could be chosen.
        SuiteError: its suite is not.
    """
    search_id = int(spec["search_id"])
    row = state.get(search_id)
    if row.created != spec.get("search_created", row.created):
        raise SearchError("The search of this job was removed.")
    if spec.get("choose"):
        return {"chosen": choosing.choose(row, spec, group or "")}
    known = models.rows(state.design_of(row))
    design = models.pinned(state.design_of(row), known)
    return {
        "storage": row.storage,
        "design": design.to_mapping(),
        "domains": models.domains(known, design),
        **recipes.sources_of(known),
        "known": registry.fingerprints(),
    }
