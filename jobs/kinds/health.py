"""Look at a model's folder: its numbers, its files, whether it loads and talks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jobs.kinds import Event
from jobs.kinds.threads import threads_for


def run(spec: dict[str, Any]) -> Iterator[Event]:
    """Look, and write the report.

    Args:
        spec: `model` (name), `folder`, `report` (folder of the report), `recipe` (YAML or None),
            `sources` (reference to folder or Hub id), `generate`, `device`.

    Yields:
        Events; the result has `state`, `checks` and `reply`.

    Raises:
        ModelError: no weights, or unreadable ones.
    """
    from merging.errors import MergingError
    from merging.health.examine import examine
    from merging.health.report import from_data

    folder = Path(spec["folder"])
    data: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        try:
            reference = stack.enter_context(_reference(spec))
        except MergingError:
            reference = None  # the parent is gone; everything else can be looked at
        events = examine(
            folder,
            label=spec["model"],
            reference=reference,
            generate=bool(spec.get("generate", True)),
            device=str(spec.get("device", "auto")),
            threads=threads_for([folder]),
        )
        for event in events:
            if event["kind"] == "result":
                data = event["health"]
            else:
                yield event
    health = from_data(data)
    if health is not None:
        keep(health, Path(spec["report"]), folder)
    yield {
        "kind": "result",
        "model": spec["model"],
        **{key: data[key] for key in ("state", "checks", "reply", "reference")},
    }


def keep(health: Any, place: Path, folder: Path) -> None:
    """Write a report, and into the model card where the model has one of ours.

    A folder that cannot be written to keeps what it had: the report is shown all the same.
    """
    from merging.output.card import with_health

    with contextlib.suppress(OSError):
        place.mkdir(parents=True, exist_ok=True)
        health.write(place)
        card = folder / "README.md"
        if place == folder and card.is_file():
            partial = folder / ".README.md.partial"
            partial.write_text(with_health(card.read_text("utf-8"), health), "utf-8")
            partial.replace(card)


def _reference(spec: Mapping[str, Any]) -> Any:
    """The base of a merge, or its first parent, when it is on this disk; else nothing."""
    if not spec.get("recipe"):
        return contextlib.nullcontext(None)
    from merging.checkpoints.checkpoint import Checkpoint
    from merging.checkpoints.sources import resolve
    from merging.output.card import shown
    from merging.recipes.recipe import Recipe

    recipe = Recipe.from_yaml(spec["recipe"])
    ref = recipe.base or recipe.in_merge_order()[0].model
    source = spec["sources"].get(ref, ref)
    return Checkpoint.open(resolve(source, {}, download=False), label=shown(ref))
