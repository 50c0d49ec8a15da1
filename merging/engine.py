"""Merges: into a Hugging Face folder on disk, or into a transformers model in memory.

Both are generators of events, `{"kind": "stage" | "progress" | "warning" | "result", ...}`, and end
with their result. Neither keeps more of the parents in memory than a chunk of one tensor.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merging.card import model_card
from merging.compatibility import check_parents
from merging.devices import choose_devices
from merging.errors import ModelError
from merging.fingerprints import fingerprint_of
from merging.finish import write_companions
from merging.parents import Parents, open_parents
from merging.partial import partial_folder, refuse_existing
from merging.program import Step, program
from merging.recipe import Recipe
from merging.sinks import FolderSink, TensorSink
from merging.stored import torch_dtype
from merging.stream import Event, merge_tensors

if TYPE_CHECKING:
    from torch import Tensor

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
        yield from _require_fit(opened)
        parents = pin(opened)
        steps = program(parents)
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
                )
            yield {"kind": "stage", "stage": "Finishing"}
            write_companions(parents, folder)
            (folder / "recipe.yaml").write_text(parents.recipe.to_yaml(), "utf-8")
            (folder / "README.md").write_text(model_card(parents, scores=scores), "utf-8")
        yield {
            "kind": "result",
            "path": str(out),
            "recipe_hash": parents.recipe.hash,
            "recipe": parents.recipe.to_yaml(),
            "tensors": len(outputs),
            "parameters": _parameters(steps),
            "size_bytes": sum(output.n_bytes for output in outputs.values()),
            "seconds": time.monotonic() - started,
        }
    return out


def merge_to_model(
    recipe: Recipe,
    folders: Mapping[str, Path],
    *,
    device: str = "auto",
    dtype: str | None = None,
    chunk_elements: int | None = None,
    threads: int = 1,
) -> Generator[Event, None, tuple[Any, Any]]:
    """Merge into a transformers model in memory, without writing its weights anywhere.

    Args:
        recipe: what to merge.
        folders: reference -> folder, for every parent.
        device: where the model is to live and the merge is computed.
        dtype: overrides the recipe's.
        chunk_elements: elements in memory at a time, per parent and thread.
        threads: tensors that are merged at the same time on the CPU.

    Yields:
        Events; the last is {"kind": "result", "recipe_hash", "recipe", "parameters", "seconds"}.

    Returns:
        (model, tokenizer), the model in evaluation mode; the tokenizer is None when no parent has
        one.

    Raises:
        RecipeError, ModelError, MergeFailure: one sentence each.
    """
    import torch

    started = time.monotonic()
    if dtype is not None:
        recipe = Recipe(**{**recipe.model_dump(), "dtype": dtype})
    yield {"kind": "stage", "stage": "Reading the parents"}
    with open_parents(recipe, folders) as opened:
        yield from _require_fit(opened)
        parents = pin(opened)
        steps = program(parents)
        devices = choose_devices(device)
        device = devices[0]
        yield {"kind": "stage", "stage": "Merging"}
        tensors = {
            step.name: torch.empty(
                step.output.shape, dtype=torch_dtype(step.output.dtype), device=device
            )
            for step in steps
        }
        yield from merge_tensors(
            steps,
            TensorSink(tensors),
            devices=[device],
            chunk_elements=chunk_elements,
            threads=threads,
        )
        yield {"kind": "stage", "stage": "Loading"}
        model, tokenizer = _load(parents, tensors, device)
        yield {
            "kind": "result",
            "recipe_hash": parents.recipe.hash,
            "recipe": parents.recipe.to_yaml(),
            "parameters": _parameters(steps),
            "seconds": time.monotonic() - started,
        }
    return model, tokenizer


def pin(parents: Parents) -> Parents:
    """The same parents with the recipe tied to the content of their weights.

    Raises:
        ModelError: the recipe is pinned already, to other weights than these.
    """
    found = {ref: fingerprint_of(one) for ref, one in parents.by_ref.items()}
    for ref, value in found.items():
        expected = parents.recipe.identity(ref)
        if expected not in (ref, value):
            raise ModelError(
                f"{ref} does not hold the weights the recipe is pinned to (fingerprint "
                f"{value[:12]}, expected {expected[:12]}). Remove the fingerprint to merge what is "
                "there."
            )
    recipe = parents.recipe.pinned(found)
    return Parents(recipe, parents.by_ref, tuple(recipe.in_merge_order()), parents.tied)


def _parameters(steps: Sequence[Step]) -> int:
    """Elements of all floating-point tensors of the result."""
    return sum(step.output.n_elements for step in steps if step.method is not None)


def _require_fit(parents: Parents) -> Iterator[Event]:
    """Warn of what looks odd, refuse what cannot be merged."""
    for check in check_parents(parents.in_order, parents.vocabulary):
        if check.state == "bad":
            raise ModelError(f"{check.detail} {check.fix}".strip())
        if check.state == "warn":
            yield {"kind": "warning", "text": f"{check.detail} {check.fix}".strip()}


def _load(parents: Parents, tensors: dict[str, Tensor], device: str) -> tuple[Any, Any]:
    """A transformers model around merged tensors, and its tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    with tempfile.TemporaryDirectory(prefix="crucible-") as name:
        folder = Path(name)
        write_companions(parents, folder)
        config = AutoConfig.from_pretrained(folder)
        generation = _generation_config(folder)
        has_tokenizer = any(folder.glob("*token*")) or (folder / "vocab.json").exists()
        tokenizer = AutoTokenizer.from_pretrained(folder) if has_tokenizer else None
    model_class = AutoModelForCausalLM._model_mapping[type(config)]
    with _without_progress_bars():
        model = model_class.from_pretrained(
            None, config=config, state_dict=tensors, dtype=config.dtype or "auto"
        )
    model.generation_config = generation
    return model.to(device).eval(), tokenizer


@contextlib.contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Keep transformers' own bar for loading off the terminal: there is nothing to wait for."""
    from transformers.utils import logging

    before = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if before:
            logging.enable_progress_bar()


def _generation_config(folder: Path) -> Any:
    from transformers import GenerationConfig

    return GenerationConfig.from_pretrained(folder)
