"""Merge by a recipe into a folder."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from jobs.kinds import Event
from jobs.kinds.parents import locate
from jobs.kinds.threads import room
from jobs.models.describe import describe, signature


def run(spec: dict[str, Any]) -> Iterator[Event]:
    """Merge, unless the same recipe has made the same thing before.

    Args:
        spec: `recipe` (YAML), `name`, `out` (folder), `device`, `sources` (reference to folder or
            Hub id), `rows` (reference to registered name), `known` (signature to fingerprint),
            `made` (recipe hash to name, source, signature of the merges on disk), `halvings`.

    Yields:
        The engine's events, and a "merged" event with everything the registry keeps.
    """
    from merging.engine import merge_to_folder

    recipe, folders = yield from locate(spec)
    before = spec["made"].get(recipe.hash)
    if before is not None and _is_there(before):
        yield {"kind": "stage", "stage": f"Already merged: “{before['name']}” is used again"}
        yield {"kind": "result", "model": before["name"], "out": before["source"], "reused": True}
        return
    out = Path(spec["out"])
    result: Event = {"path": str(out), "recipe_hash": recipe.hash}
    # An earlier attempt may have been killed between finishing the folder and saying so.
    finished = _made_by(out) == recipe.hash
    merging = merge_to_folder(
        recipe, folders, out, device=spec.get("device", "auto"), **room(spec, folders.values())
    )
    for event in () if finished else merging:
        if event.get("kind") == "result":
            result = event
        else:
            yield _in_weights(event)
    health = yield from _try(out, spec)
    yield {"kind": "stage", "stage": "Registering"}
    yield {
        "kind": "merged",
        "name": spec["name"],
        "source": spec["out"],
        "recipe_yaml": recipe.to_yaml(),
        "rows": spec["rows"],
        **describe(out),
    }
    yield {**result, "kind": "result", "model": spec["name"], "out": spec["out"], "health": health}


def _in_weights(event: Event) -> Event:
    """Progress by weights: the largest tensors come first, so their number says little of time."""
    if event.get("kind") != "progress" or "elements" not in event:
        return event
    total = event["elements"] / 1e6
    done = {"done": total * event["fraction"], "total": total, "unit": "M weights"}
    return {**event, **done}


def _try(out: Path, spec: dict[str, Any]) -> Generator[Event, None, str]:
    """Load the merge and let it say something, into its health report; return the report's state.

    What comes of it never fails the merge: the weights are written and are what the recipe says.
    """
    from jobs.kinds.health import keep
    from merging.health import report

    health = report.read(out)
    if health is None:
        return ""
    if os.environ.get("CRUCIBLE_SMOKE") == "0":
        return health.state
    yield {"kind": "stage", "stage": "Trying the model"}
    from merging.health.loading import try_model

    tried = try_model(out, device=str(spec.get("device", "auto")))
    health = health.with_checks(tried.checks, reply=tried.reply)
    keep(health, out, out)
    for check in tried.checks:
        if check.state != "ok":
            yield {"kind": "warning", "text": f"{check.detail} {check.fix}".strip()}
    return health.state


def _is_there(before: dict[str, str]) -> bool:
    folder = Path(before["source"])
    return folder.is_dir() and signature(folder) == before["signature"]


def _made_by(folder: Path) -> str | None:
    """Hash of the recipe that a finished merge's folder was made by."""
    from merging.errors import RecipeError
    from merging.recipes.recipe import Recipe

    try:
        return Recipe.from_yaml((folder / "recipe.yaml").read_text(encoding="utf-8")).hash
    except (OSError, UnicodeDecodeError, RecipeError):
        return None
