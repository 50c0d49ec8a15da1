"""What the terminal does in its own process, without the queue: a merge to a folder, a training."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from db import settings
from db.errors import DatabaseError
from jobs.errors import JobError
from jobs.kinds import Event
from jobs.kinds.parents import locate
from jobs.kinds.threads import are_small, threads_for
from jobs.models import recipe_files

if TYPE_CHECKING:
    from merging.recipes.recipe import Recipe


def merge(
    recipe_file: str,
    out: Path,
    *,
    device: str = "auto",
    convert_pickle: bool = False,
    max_shard_size: str = "5GB",
) -> Iterator[Event]:
    """Merge a recipe file into a folder.

    Args:
        recipe_file: path of the YAML file.
        out: folder to make.
        device: "auto", "cpu" or "cuda".
        convert_pickle: the user agrees to pickled weights being opened and copied as safetensors.
        max_shard_size: of a file of weights, such as "5GB".

    Yields:
        The engine's events; the last one is the result, with the registered `name`.

    Raises:
        RecipeError, ModelError, HubError, MergeFailure, JobError: in one sentence.
    """
    recipe = recipe_files.parse(recipe_files.read_recipe(recipe_file))
    recipe_files.check_device(device)
    from merging.output.layout import read_shard_size

    max_shard_bytes = read_shard_size(max_shard_size)
    new = settings.is_new() and not convert_pickle and _are_plain_folders(recipe)
    spec = _by_path(recipe) if new else (yield from _by_name(recipe, convert_pickle))
    pinned, folders = yield from locate(spec)
    from merging.engine import merge_to_folder

    threads = threads_for(folders.values())
    result: Event = {}
    merging = merge_to_folder(
        pinned, folders, out, device=device, threads=threads, max_shard_bytes=max_shard_bytes
    )
    opening: threading.Thread | None = None
    for event in merging:
        if event.get("kind") == "result":
            result = event
            continue
        if new and opening is None and event.get("fraction", 0.0) >= 0.5:
            # beside the kernels, which leave the interpreter to others most of the time
            opening = threading.Thread(target=_open_database)
            opening.start()
        yield event
    if opening is not None:
        opening.join()
    from jobs.models import recipes, registry

    try:
        model_id = registry.register_model(str(out.absolute()))
        result["name"] = recipes.get(model_id).name
    except (DatabaseError, JobError) as error:
        yield {"kind": "warning", "text": f"The merge is written, but not registered: {error}"}
    yield result


def _open_database() -> None:
    """Import and open what registering takes; what goes wrong is told when it is used."""
    with contextlib.suppress(DatabaseError):
        from db.engine import open_database
        from jobs.models import recipes  # noqa: F401

        open_database()


def _are_plain_folders(recipe: Recipe) -> bool:
    """Whether a database that is not there yet would say nothing of any of a recipe's models.

    A new one knows the sandbox's names, and, for the lineage of copies, the sandbox's weights.
    """
    from merging.formats.bases import is_adapter

    folders = [Path(ref).expanduser() for ref in recipe.references]
    return (
        all(folder.is_dir() and not is_adapter(folder) for folder in folders)
        and not any(ref.startswith("sandbox/") for ref in recipe.references)
        and not are_small(folders)
    )


def _by_path(recipe: Recipe) -> dict[str, Any]:
    """Where the parents lie, for `locate`, when all are folders."""
    sources = {ref: str(Path(ref).expanduser().absolute()) for ref in recipe.references}
    return {"recipe": recipe.to_yaml(), "sources": sources, "known": {}}


def _by_name(recipe: Recipe, convert_pickle: bool) -> Generator[Event, None, dict[str, Any]]:
    """The same by what is registered: names, and the fingerprints of folders that are known."""
    from jobs.models import adapters, pickles, registry

    registry.ensure_sandbox()
    known = registry.names()
    sources: dict[str, str] = {}
    for ref in recipe.references:
        base, own = adapters.halves(ref) or (None, ref)
        if base is not None:
            sources[base] = known.get(base) or _source(base)
        sources[ref] = known.get(own) or _source(own)
        if base is not None:
            adapters.require_adapter(own, sources[ref])
        if convert_pickle and pickles.is_pickled(Path(sources[ref])):
            sources[ref] = str((yield from pickles.converted(Path(sources[ref]), label=ref)))
    for ref, source in adapters.bases(sources).items():
        sources.setdefault(ref, source)
    return {"recipe": recipe.to_yaml(), "sources": sources, "known": registry.fingerprints()}


def build_sandbox(out: Path | None, seed: int | None) -> Iterator[Event]:
    """Train the sandbox family; see `training.family.build_family`."""
    from jobs.kinds.sandbox import run

    yield from run({"out": str(out.absolute()) if out else None, "seed": seed})
    if out is None:
        from jobs.models import registry

        registry.ensure_sandbox()


def _source(ref: str) -> str:
    """A folder's absolute path, or the Hub id as it is."""
    path = Path(ref).expanduser()
    if path.exists():
        return str(path.absolute())
    from jobs.models import registry

    registry.check_hub_id(ref)
    return ref
