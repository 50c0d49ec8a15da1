"""Merges into transformers models in memory: a new one, or one that is there already."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merging.checkpoints.parents import Parents, open_parents
from merging.checkpoints.stored import STORED_NAMES, torch_dtype
from merging.engine import count_parameters, pin, require_fit
from merging.errors import ModelError
from merging.output.finish import write_companions
from merging.output.layout import OutputTensor
from merging.recipes.recipe import Recipe
from merging.streaming.devices import choose_devices
from merging.streaming.program import Step, program
from merging.streaming.sinks import TensorSink
from merging.streaming.stream import Event, merge_tensors
from merging.wording import in_words

if TYPE_CHECKING:
    from torch import Tensor


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
        yield from require_fit(opened)
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
            "parameters": count_parameters(steps),
            "seconds": time.monotonic() - started,
        }
    return model, tokenizer


def merge_into(
    recipe: Recipe,
    folders: Mapping[str, Path],
    model: Any,
    *,
    chunk_elements: int | None = None,
    threads: int = 1,
) -> Generator[Event, None, None]:
    """Merge into a transformers model that is in memory, in place: its weights are replaced.

    The result has the model's own dtypes and is computed on its device. When this ends with an
    error the model may hold a part of the merge.

    Args:
        recipe: what to merge; its dtype, tokenizer and chat template do not matter here.
        folders: reference -> folder, for every parent.
        model: of the parents' architecture and shapes.
        chunk_elements: elements in memory at a time, per parent and thread.
        threads: tensors that are merged at the same time on the CPU.

    Yields:
        Events; the last is {"kind": "result", "recipe_hash", "recipe", "parameters", "seconds"}.

    Raises:
        RecipeError, ModelError, MergeFailure: one sentence each.
    """
    started = time.monotonic()
    with open_parents(recipe, folders) as opened:
        yield from require_fit(opened)
        parents = pin(opened)
        tensors = _weights_of(model)
        steps = [_for_tensor(step, tensors) for step in program(parents)]
        _check_complete(steps, tensors)
        device = str(tensors[steps[0].name].device)
        yield {"kind": "stage", "stage": "Merging"}
        yield from merge_tensors(
            steps,
            TensorSink({step.name: tensors[step.name] for step in steps}),
            devices=[device],
            chunk_elements=chunk_elements,
            threads=threads,
        )
        yield {
            "kind": "result",
            "recipe_hash": parents.recipe.hash,
            "recipe": parents.recipe.to_yaml(),
            "parameters": count_parameters(steps),
            "seconds": time.monotonic() - started,
        }


def _weights_of(model: Any) -> dict[str, Tensor]:
    """A model's parameters and buffers by the names that checkpoints have."""
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}


def _for_tensor(step: Step, tensors: Mapping[str, Tensor]) -> Step:
    """The step with the dtype of the tensor that it goes into."""
    tensor = tensors.get(step.name)
    if tensor is None:
        raise ModelError(f"The model in memory has no tensor {step.name}; load one of the parents.")
    if tuple(tensor.shape) != step.output.shape or not tensor.is_contiguous():
        raise ModelError(
            f"{step.name} is {list(tensor.shape)} in the model in memory and "
            f"{list(step.output.shape)} in the merge; load one of the parents."
        )
    dtype = STORED_NAMES[str(tensor.dtype).removeprefix("torch.")]
    return replace(step, output=OutputTensor(dtype, step.output.shape))


def _check_complete(steps: Sequence[Step], tensors: Mapping[str, Tensor]) -> None:
    """Every weight of the model is merged, or is tied to one that is."""
    merged = [tensors[step.name].data_ptr() for step in steps]
    if len(set(merged)) < len(merged):
        raise ModelError(
            "The model in memory ties its output embedding and the merge does not; load one of the "
            "parents that have an output embedding of their own."
        )
    left = [name for name, tensor in tensors.items() if tensor.data_ptr() not in merged]
    if left:
        raise ModelError(f"The merge has no tensor for {in_words(left, most=3)}.")


def _load(parents: Parents, tensors: dict[str, Tensor], device: str) -> tuple[Any, Any]:
    """A transformers model around merged tensors, and its tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    with tempfile.TemporaryDirectory(prefix="crucible-") as name:
        folder = Path(name)
        write_companions(parents, folder)
        # a merge never runs code that a parent brings along
        closed: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        config = AutoConfig.from_pretrained(folder, **closed)
        generation = _generation_config(folder)
        has_tokenizer = any(folder.glob("*token*")) or (folder / "vocab.json").exists()
        tokenizer = AutoTokenizer.from_pretrained(folder, **closed) if has_tokenizer else None
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
