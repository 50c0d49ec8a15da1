"""Rebuild a merge from the recipe in its folder and compare every byte; nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jobs.kinds import Event
from jobs.kinds.parents import locate
from jobs.kinds.threads import threads_for


def run(spec: dict[str, Any]) -> Iterator[Event]:
    """Rebuild and compare.

    Args:
        spec: `model` (name), `folder`, `sources` (reference to folder or Hub id), `known`
            (signature to fingerprint), `device`.

    Yields:
        Events; the result has `same`, `tensors`, `differing` and `text`.

    Raises:
        ModelError, HubError, RecipeError: no recipe, or parents that are missing or changed.
    """
    from merging.rebuild import read_recipe, rebuild

    folder = Path(spec["folder"])
    recipe = read_recipe(folder)
    given = {"recipe": recipe.to_yaml(), "sources": spec["sources"], "known": spec["known"]}
    _, folders = yield from locate(given)
    threads = threads_for(folders.values())
    for event in rebuild(folder, folders, device=str(spec.get("device", "auto")), threads=threads):
        yield {**event, "model": spec["model"]} if event["kind"] == "result" else event
