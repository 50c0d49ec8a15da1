"""Recipes on their way into the queue: what they mean here, whether they were made before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from db import settings
from db.engine import session, transaction
from db.queries import models as model_rows
from db.queries.models import ModelRow
from db.tables import Job, Model
from jobs.errors import JobError
from jobs.models import adapters, describe, registry
from jobs.models import names as naming
from jobs.models.recipe_files import check_device, is_recipe, parse, read_recipe

if TYPE_CHECKING:
    from merging.recipes.recipe import Recipe

__all__ = ["check_device", "is_recipe", "parse", "read_recipe"]


def get(model_id: int) -> ModelRow:
    """The row of a model that was registered just now."""
    row = model_rows.model(model_id)
    assert row is not None
    return row


def distinct(rows: dict[str, ModelRow]) -> list[ModelRow]:
    """The models behind a recipe's references, each once."""
    return list({row.id: row for row in rows.values()}.values())


def is_pinned(recipe: Recipe) -> bool:
    """Whether the hash of a recipe stands for the content of all of its parents."""
    return all(recipe.identity(ref) != ref for ref in recipe.references)


def made_before(pinned: Recipe) -> ModelRow | None:
    """The merge on disk that this recipe has made before, if it is still what it was."""
    row = model_rows.by_recipe(pinned.hash) if is_pinned(pinned) else None
    if row is None or not row.source or not (Path(row.source) / "config.json").is_file():
        return None
    with session() as opened:
        then = opened.get_one(Model, row.id).signature
    return row if then == describe.signature(Path(row.source)) else None


def outcome(row: ModelRow) -> dict[str, Any]:
    """The result of a merge job that found its work done."""
    return {"model": row.name, "model_id": row.id, "out": row.source, "reused": True}


def free_name(name: str | None, recipe: Recipe) -> str:
    """The name for a new merge: the one asked for if it is free, or one made from the recipe."""
    with session() as opened:
        taken = set(opened.scalars(select(Model.name)))
        waiting = select(Job.spec).where(Job.kind == "merge", Job.state.in_(("queued", "running")))
        taken |= {str(spec.get("name")) for spec in opened.scalars(waiting)}
    taken |= {naming.folder(each) for each in taken}
    taken |= {path.name for path in settings.models_folder().iterdir()}
    if name is None:
        last = [ref.rstrip("/").rsplit("/", 1)[-1] for ref in recipe.references]
        return naming.suggest(recipe.name or "-".join([recipe.method, *last[-2:]]), taken)
    name = naming.check(name)
    used = {each.casefold() for each in taken}
    if {name.casefold(), naming.folder(name).casefold()} & used:
        free = naming.suggest(name, taken)
        raise JobError(f"There is a model “{name}” already. Choose another name, such as “{free}”.")
    return name


def output_folder(recipe: Recipe, name: str | None) -> Path:
    """Where a merge would be written: one that was made before is not written again."""
    known = {ref: model_rows.model(ref) for ref in recipe.references}
    pinned = recipe.pinned(
        {ref: row.fingerprint for ref, row in known.items() if row and row.fingerprint}
    )
    if name is None or made_before(pinned) is not None:
        name = free_name(None, recipe)
    return settings.models_folder() / naming.folder(naming.check(name))


def check_plan(recipe: Recipe, rows: dict[str, ModelRow], label: str, device: str) -> None:
    """Refuse at once what cannot work, where all parents are here to be looked at."""
    from merging.errors import ModelError
    from merging.planning.plan import plan

    check_device(device)
    if not all(Path(row.source).is_absolute() for row in rows.values()):
        return  # the job looks when it has downloaded them
    out = settings.models_folder() / naming.folder(label)
    sources = {ref: row.source for ref, row in rows.items()}
    bases = adapters.folders_of_bases(sources)
    if recipe.base is None and len(bases) < len(adapters.bases(sources)):
        return  # an adapter's base has to be downloaded first
    folders = {ref: Path(source) for ref, source in sources.items()}
    answer = plan(recipe, {**bases, **folders}, out, device)
    for check in answer.checks:
        if check.state == "bad":
            raise ModelError(f"{check.detail} {check.fix}".strip())


def recipe_row(ref: str) -> ModelRow:
    """The registry's row of a recipe file that is scored without being written.

    Raises:
        JobError: the file cannot be read.
        RecipeError: it is not a recipe.
    """
    return row_of(parse(read_recipe(ref)), Path(ref).stem)


def row_of(recipe: Recipe, label: str) -> ModelRow:
    """The registry's row of a recipe that is scored without being written.

    Args:
        recipe: of the merge.
        label: its name in the registry, where the recipe has none; another one if that is taken.

    Raises:
        ModelError, JobError: a parent that is nowhere or cannot be read.
    """
    pinned_recipe, rows = parents_of(recipe)
    pinned_recipe = _pinned_here(pinned_recipe, rows)
    known = model_rows.by_recipe(pinned_recipe.hash) if is_pinned(pinned_recipe) else None
    if known is not None:
        return known
    with transaction() as opened:
        taken = set(opened.scalars(select(Model.name)))
        name = naming.suggest(pinned_recipe.name or label, taken)
        values = {"role": "merge", "source": ""}
        row = registry.add_row(opened, name, values)
        registry.enter_recipe(opened, row, pinned_recipe, {k: v.name for k, v in rows.items()})
        model_id = row.id
    return get(model_id)


def parents_of(recipe: Recipe) -> tuple[Recipe, dict[str, ModelRow]]:
    """Register a recipe's parents; the recipe tied to their present content, and their rows."""
    rows = {ref: get(registry.register_model(ref)) for ref in recipe.references}
    known = {ref: row.fingerprint for ref, row in rows.items()
             if row.fingerprint and adapters.halves(ref) is None}  # fmt: skip
    return recipe.pinned(known), rows


def sources_of(rows: dict[str, ModelRow]) -> dict[str, Any]:
    """What the recipe's references mean, now: folders or Hub ids, and registered names."""
    sources = {ref: row.source for ref, row in rows.items()}
    return {
        "sources": {**adapters.bases(sources), **sources},
        "rows": {ref: row.name for ref, row in rows.items()},
    }


def _pinned_here(recipe: Recipe, rows: dict[str, ModelRow]) -> Recipe:
    """The recipe tied to its parents' content where all of it is on this disk.

    Of an adapter, or a folder that nothing was done with yet, the content is not known so far;
    without it the same recipe would be another model each time it is scored.

    Raises:
        ModelError: a parent that cannot be read.
    """
    from jobs.kinds.parents import locate

    sources = sources_of(rows)["sources"]
    if is_pinned(recipe) or not all(Path(source).is_absolute() for source in sources.values()):
        return recipe
    spec = {"recipe": recipe.to_yaml(), "sources": sources, "known": registry.fingerprints()}
    looking = locate(spec)
    try:
        while True:
            next(looking)
    except StopIteration as stop:
        pinned: Recipe = stop.value[0]
        return pinned
