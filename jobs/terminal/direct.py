"""What the terminal does in its own process, without the queue: a merge to a folder, a training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from db.errors import DatabaseError
from jobs.errors import JobError
from jobs.kinds import Event
from jobs.kinds.parents import locate
from jobs.kinds.threads import threads_for
from jobs.models import adapters, pickles, recipes, registry


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
    recipe = recipes.parse(recipes.read_recipe(recipe_file))
    recipes.check_device(device)
    from merging.output.layout import read_shard_size

    max_shard_bytes = read_shard_size(max_shard_size)
    registry.ensure_sandbox()
    known = registry.names()
    sources = {}
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
    spec = {"recipe": recipe.to_yaml(), "sources": sources, "known": registry.fingerprints()}
    pinned, folders = yield from locate(spec)
    from merging.engine import merge_to_folder

    threads = threads_for(folders.values())
    result: Event = {}
    merging = merge_to_folder(
        pinned, folders, out, device=device, threads=threads, max_shard_bytes=max_shard_bytes
    )
    for event in merging:
        if event.get("kind") == "result":
            result = event
        else:
            yield event
    try:
        model_id = registry.register_model(str(out.absolute()))
        result["name"] = recipes.get(model_id).name
    except (DatabaseError, JobError) as error:
        yield {"kind": "warning", "text": f"The merge is written, but not registered: {error}"}
    yield result


def build_sandbox(out: Path | None, seed: int | None) -> Iterator[Event]:
    """Train the sandbox family; see `training.family.build_family`."""
    from jobs.kinds.sandbox import run

    yield from run({"out": str(out.absolute()) if out else None, "seed": seed})
    if out is None:
        registry.ensure_sandbox()


def _source(ref: str) -> str:
    """A folder's absolute path, or the Hub id as it is."""
    path = Path(ref).expanduser()
    if path.exists():
        return str(path.absolute())
    registry.check_hub_id(ref)
    return ref
