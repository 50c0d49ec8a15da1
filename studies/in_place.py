"""One model in memory that is every merge of a study in turn, without a checkpoint.

The model computes in the dtype that scores are taken in, while a merge has the dtype of its recipe:
what is put into the model is rounded to the recipe's dtype on the way, so that a merge scores the
same here as from a folder.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merging.checkpoints.parents import Parents, open_parents
from merging.checkpoints.stored import torch_dtype
from merging.checkpoints.views import View
from merging.engine import pin, require_fit
from merging.errors import MergingError, ModelError
from merging.in_memory import merge_to_model
from merging.recipes.recipe import Recipe
from merging.streaming.program import Step, program
from merging.streaming.stream import Event, merge_tensors
from studies.combined import Combined, but_scale
from studies.points import PREVIOUS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


class Bench:
    """Merges one point after the other into one model.

    Args:
        folders: reference -> folder of every parent; a point whose parents are not all here
            cannot be made, the others can.
        device: torch device, or "auto".
        dtype: that the model computes in; None for the merge's own.
        most_bytes: memory for combined task vectors.
        threads: tensors that are merged at the same time on the CPU.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        *,
        device: str = "auto",
        dtype: str | None = None,
        most_bytes: int = 0,
        threads: int = 1,
    ) -> None:
        self.folders = dict(folders)
        self.device = device
        self.dtype = dtype
        self.threads = threads
        self.most_bytes = most_bytes
        self.model: Any = None
        self.tokenizer: Any = None
        self.reused = False  # whether the last merge came from a combined task vector
        self._companions: str | None = None
        self._combined: tuple[str, Combined] | None = None

    def merge(
        self, steps: Sequence[Recipe], *, more: bool = False
    ) -> Generator[Event, None, list[Recipe]]:
        """Make the model the merge of these recipes, one upon the other.

        Args:
            steps: of a point; in those after the first, the model `@previous` is the merge before.
            more: whether the first of them is wanted again next, perhaps with another scale: then
                its combined task vector is kept.

        Yields:
            Stage, progress and warning events.

        Returns:
            The recipes, tied to the content of their parents.

        Raises:
            RecipeError, ModelError, MergeFailure: one sentence each; the model may hold a part of
                the merge then.
        """
        pinned: list[Recipe] = []
        last = steps[-1]
        wanted = _companions(last, self.folders)
        if self.model is None or wanted != self._companions:
            yield from self._make_room(_alone(last))
            self._companions = wanted
        self.reused = False
        for place, recipe in enumerate(steps):
            keep = more and place == 0
            pinned.append((yield from self._into(_on(recipe, pinned), keep)))
        return pinned

    def forget(self) -> None:
        """Let go of the model: the next merge makes a new one, as after something went wrong."""
        self.model = self.tokenizer = self._companions = None
        self._combined = None

    def _make_room(self, recipe: Recipe) -> Iterator[Event]:
        """A new model with the tokenizer and config that these merges have."""
        import torch

        self.forget()
        with open_parents(recipe, self.folders) as opened:
            _pinned(opened)  # said in the words of a study
        model, self.tokenizer = yield from _quiet(
            merge_to_model(recipe, self.folders, device=self.device, threads=self.threads)
        )
        self.model = model if self.dtype is None else model.to(getattr(torch, self.dtype))

    def _into(self, recipe: Recipe, keep: bool) -> Generator[Event, None, Recipe]:
        """Merge one recipe into the model; `@previous` is what the model holds."""
        folders = self.folders
        if PREVIOUS in recipe.references:
            # Its vocabulary and shapes are the base's, which it was merged on.
            folders = {**folders, PREVIOUS: folders[str(recipe.base)]}
        with open_parents(recipe, folders) as opened:
            yield from require_fit(opened)
            parents = _pinned(opened)
            weights = {name: one.detach() for name, one in self.model.state_dict().items()}
            steps = [_from_memory(step, weights) for step in program(parents)]
            _check(steps, weights)
            sink = RoundingSink(steps, weights)
            yield from self._stream(parents.recipe, steps, sink, keep)
            return parents.recipe

    def _stream(
        self, recipe: Recipe, steps: Sequence[Step], sink: RoundingSink, keep: bool
    ) -> Iterator[Event]:
        """Merge by a combined task vector where there is one, or where others will ask for it."""
        yield {"kind": "stage", "stage": "Merging"}
        device = str(self.model.device)
        identity = but_scale(recipe) if device == "cpu" and "scale" in recipe.options else ""
        if (
            self._combined is not None
            and self._combined[0] != identity
            and PREVIOUS not in recipe.references
        ):
            self._combined = None  # before another takes its memory
        if identity and keep and self._combined is None:
            yield from self._combine(identity, steps)
        if self._combined is not None and self._combined[0] == identity:
            self.reused = True
            yield from self._combined[1].merge(steps, sink, threads=self.threads)
            return
        yield from merge_tensors(steps, sink, devices=[device], threads=self.threads)

    def _combine(self, identity: str, steps: Sequence[Step]) -> Iterator[Event]:
        combined = Combined(steps, most_bytes=self.most_bytes)
        if not combined.useful:
            return
        try:
            yield from combined.fill(threads=self.threads)
        except MergingError:
            return  # the merge itself says what is wrong
        self._combined = (identity, combined)


class RoundingSink:
    """A model's weights in another dtype than the merge's: values are rounded to both.

    Args:
        steps: whose outputs say the merge's dtypes.
        weights: the model's tensors by name.
    """

    def __init__(self, steps: Sequence[Step], weights: Mapping[str, Tensor]) -> None:
        self._flat = {step.name: weights[step.name].view(-1) for step in steps}
        self._dtypes = {step.name: torch_dtype(step.output.dtype) for step in steps}

    def write(self, name: str, start: int, values: Tensor) -> None:
        """Put `values` `[n]` at flat position `start` of tensor `name`."""
        rounded = values.to(self._dtypes[name])
        self._flat[name][start : start + values.numel()].copy_(rounded)

    def write_bytes(self, name: str, start: int, data: memoryview) -> None:
        """Put elements as bytes, in the merge's dtype, at flat position `start` of a tensor."""
        import torch

        self.write(name, start, torch.frombuffer(data, dtype=self._dtypes[name]))


@dataclass(frozen=True)
class _InMemory:
    """A tensor of the model in memory as a parent of the next merge."""

    tensor: Tensor
    name: str
    label: str = "the merge before"
    stored: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)

    def read_into(self, start: int, stop: int, buffer: memoryview) -> None:
        raise NotImplementedError

    def values_into(self, start: int, stop: int, out: NDArray[Any]) -> None:
        out[:] = self.tensor.view(-1)[start:stop].float().cpu().numpy()


def _from_memory(step: Step, weights: Mapping[str, Tensor]) -> Step:
    """The step with the model's present weights where it takes the merge before.

    It is overwritten while it is read: a method of this kind sees each element once, before its
    result is written.
    """

    def view(given: View) -> View:
        return _InMemory(weights[step.name], step.name) if given.label == PREVIOUS else given

    return replace(step, models=tuple(map(view, step.models)))


def _on(recipe: Recipe, before: Sequence[Recipe]) -> Recipe:
    """The recipe, its `@previous` tied to the merge before as it was really made."""
    if PREVIOUS not in recipe.references:
        return recipe
    return recipe.pinned({PREVIOUS: before[-1].hash})


def _alone(recipe: Recipe) -> Recipe:
    """A recipe of the same shape, config and tokenizer that needs no merge before."""
    if PREVIOUS not in recipe.references:
        return recipe
    data = recipe.model_dump()
    for one in data["models"]:
        if one["model"] == PREVIOUS:
            one |= {"model": recipe.base, "fingerprint": recipe.base_fingerprint}
    return Recipe(**data)


def _pinned(parents: Parents) -> Parents:
    """The parents with the recipe tied to their content; see `merging.engine.pin`.

    Raises:
        ModelError: a parent is not what it was when the study was planned.
    """
    return pin(
        parents,
        but=(PREVIOUS,),
        held_to="that the study was planned with",
        mend="Put them back, or plan the study anew.",
    )


def _companions(recipe: Recipe, folders: Mapping[str, Path]) -> str:
    """What decides a merge's shape, config and tokenizer, in one text."""
    roles = [(one.model, one.role) for one in recipe.models if one.model != PREVIOUS]
    union = sorted(roles) if recipe.tokenizer == "union" or recipe.tokens else None
    instruct = [one.model for one in recipe.models if one.role == "instruct"]
    donors = [recipe.config_donor, recipe.tokenizer, recipe.chat_template, instruct]
    more = [union, dict(recipe.tokens), recipe.pad_to_multiple_of, recipe.dtype]
    slices = [one.model_dump() for one in recipe.slices]
    # Whether the result ties its embeddings depends on all parents.
    ties = [ref for ref in recipe.references if ref != PREVIOUS and not _is_tied(folders, ref)]
    return repr([*donors, *more, slices, bool(ties)])


def _is_tied(folders: Mapping[str, Path], ref: str) -> bool:
    import json

    from merging.formats.bases import config_folder

    folder = folders.get(ref)
    if folder is None:
        raise ModelError(f"{ref} is not here, so nothing can be merged with it.")
    try:
        text = (config_folder(ref, folders) / "config.json").read_text(encoding="utf-8")
        return bool(json.loads(text).get("tie_word_embeddings", True))
    except (OSError, ValueError) as error:
        raise ModelError(f"{ref}: its config.json cannot be read ({error}).") from None


def _check(steps: Sequence[Step], weights: Mapping[str, Tensor]) -> None:
    """Every weight of the model is merged, or is tied to one that is."""
    for step in steps:
        tensor = weights.get(step.name)
        if tensor is None or tuple(tensor.shape) != step.output.shape:
            raise ModelError(
                f"The model in memory has no tensor {step.name} of this merge's shape "
                f"{list(step.output.shape)}."
            )
    merged = {weights[step.name].data_ptr() for step in steps}
    left = [name for name, tensor in weights.items() if tensor.data_ptr() not in merged]
    if left:
        raise ModelError(f"The merge has no tensor for {left[0]}.")


def _quiet(events: Generator[Event, None, Any]) -> Generator[Event, None, Any]:
    """A merge's events but its result."""
    while True:
        try:
            event = next(events)
        except StopIteration as stop:
            return stop.value
        if event.get("kind") != "result":
            yield event
