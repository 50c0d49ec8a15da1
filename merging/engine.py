"""The merge into a Hugging Face folder on disk.

A generator of events, `{"kind": "stage" | "progress" | "warning" | "result", ...}`, that ends with
its result. It keeps no more of the parents in memory than a chunk of a tensor per thread.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from merging.checkpoints.fingerprints import fingerprint_of
from merging.checkpoints.parents import Parents, open_parents
from merging.checkpoints.watch import Watch
from merging.errors import ModelError
from merging.health.examine import of_merge
from merging.health.tally import Tally
from merging.output.card import model_card, shown
from merging.output.finish import write_companions
from merging.output.partial import partial_folder, refuse_existing
from merging.planning.compatibility import check_parents
from merging.recipes.recipe import Recipe
from merging.streaming.devices import choose_devices
from merging.streaming.program import Step, program
from merging.streaming.sinks import FolderSink
from merging.streaming.stream import Event, merge_tensors

MAX_SHARD_BYTES = 5_000_000_000


def merge_to_folder(
    recipe: Recipe,
    folders: Mapping[str, Path],
    out: str | Path,
    *,
    device: str = "auto",
    chunk_elements: int | None = None,
    threads: int = 1,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    scores: Mapping[str, Mapping[str, float]] | None = None,
) -> Generator[Event, None, Path]:
    """Merge into a folder that any Hugging Face tool loads.

    Args:
        recipe: what to merge.
        folders: reference -> folder, for every parent.
        out: the folder to make; it appears only when it is complete.
        device: "auto", "cpu", "cuda" or another torch device.
        chunk_elements: elements in memory at a time, per parent and thread; None for what suits
            the device. The result does not depend on it.
        threads: tensors that are merged at the same time on the CPU.
        max_shard_bytes: tensor data per file.
        scores: task -> model -> score, for the model card.

    Yields:
        Events; the last is {"kind": "result", "path", "recipe_hash", "recipe", "tensors",
        "parameters", "size_bytes", "seconds"}.

    Returns:
        The folder's path.

    Raises:
        RecipeError, ModelError, MergeFailure: one sentence each; nothing is left under `out`.
    """
    out = Path(out).absolute()
    started = time.monotonic()
    refuse_existing(out)
    yield {"kind": "stage", "stage": "Reading the parents"}
    with open_parents(recipe, folders) as opened:
        watch = Watch(opened.by_ref)
        yield from require_fit(opened)
        parents = pin(opened)
        steps = program(parents)
        tally = Tally()
        outputs = {step.name: step.output for step in steps}
        metadata = {"format": "pt", "crucible_recipe": parents.recipe.hash}
        with partial_folder(out) as folder:
            sink = FolderSink(folder, outputs, max_shard_bytes=max_shard_bytes, metadata=metadata)
            with sink:
                yield {"kind": "stage", "stage": "Merging"}
                yield from merge_tensors(
                    steps,
                    sink,
                    devices=choose_devices(device),
                    chunk_elements=chunk_elements,
                    threads=threads,
                    tally=tally,
                )
            yield {"kind": "stage", "stage": "Finishing"}
            write_companions(parents, folder)
            watch.require_unchanged()
            (folder / "recipe.yaml").write_text(parents.recipe.to_yaml(), "utf-8")
            reference = parents.base or parents.models[0]
            health = of_merge(folder, tally.tensors, shown(reference.label))
            health.write(folder)
            card = model_card(parents, scores=scores, health=health)
            (folder / "README.md").write_text(card, "utf-8")
        for check in health.checks:
            if check.state != "ok":
                yield {"kind": "warning", "text": f"{check.detail} {check.fix}".strip()}
        yield {
            "kind": "result",
            "path": str(out),
            "recipe_hash": parents.recipe.hash,
            "recipe": parents.recipe.to_yaml(),
            "tensors": len(outputs),
            "parameters": count_parameters(steps),
            "size_bytes": sum(output.n_bytes for output in outputs.values()),
            "seconds": time.monotonic() - started,
        }
    return out


def pin(
    parents: Parents,
    *,
    but: Collection[str] = (),
    held_to: str = "the recipe is pinned to",
    mend: str = "Remove the fingerprint to merge what is there.",
) -> Parents:
    """The same parents with the recipe tied to the content of their weights.

    Args:
        parents: opened.
        but: references that have no files of their own.
        held_to: which weights are expected, in the words of the error.
        mend: what to do about others, a sentence.

    Raises:
        ModelError: the recipe is pinned already, to other weights than these.
    """
    found = {ref: fingerprint_of(one) for ref, one in parents.by_ref.items() if ref not in but}
    for ref, value in found.items():
        expected = parents.recipe.identity(ref)
        if expected not in (ref, value):
            raise ModelError(
                f"{ref} does not hold the weights {held_to} (fingerprint {value[:12]}, expected "
                f"{expected[:12]}). {mend}"
            )
    recipe = parents.recipe.pinned(found)
    return replace(parents, recipe=recipe, constituents=tuple(recipe.in_merge_order()))


def count_parameters(steps: Sequence[Step]) -> int:
    """Elements of all floating-point tensors of the result."""
    return sum(step.output.n_elements for step in steps if step.method is not None)


def require_fit(parents: Parents) -> Iterator[Event]:
    """Warn of what looks odd, refuse what cannot be merged."""
    for check in check_parents(
        parents.in_order, parents.vocabulary, sliced=bool(parents.recipe.slices)
    ):
        if check.state == "bad":
            raise ModelError(f"{check.detail} {check.fix}".strip())
        if check.state == "warn":
            yield {"kind": "warning", "text": f"{check.detail} {check.fix}".strip()}
