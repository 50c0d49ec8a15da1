"""The answer before anything starts: do the parents fit together, and does the merge fit here?

Reads headers, configs, tokenizer files and a few megabytes of weights (were the models made from
the base?), so it takes well under a second for an 8 B model.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from merging.checkpoints.parents import Parents, open_parents
from merging.errors import ModelError, RecipeError
from merging.output.layout import OutputTensor
from merging.planning.checks import Check
from merging.planning.compatibility import check_parents
from merging.planning.derivation import check_origins
from merging.planning.fit import Needs, check_fit, estimate
from merging.recipes.recipe import Recipe
from merging.streaming.devices import choose_devices
from merging.streaming.program import program, unused_filters
from merging.tokenizers.chat import check_chat

__all__ = ["Check", "Needs", "Plan", "plan"]


@dataclass(frozen=True)
class Plan:
    """What was found out.

    Attributes:
        checks: in the order in which they were made.
        needs: memory, disk and time.
    """

    checks: tuple[Check, ...]
    needs: Needs

    @property
    def ok(self) -> bool:
        """Whether nothing stands in the way."""
        return all(check.state != "bad" for check in self.checks)


def plan(
    recipe: Recipe,
    folders: Mapping[str, Path],
    out: str | Path | None = None,
    device: str = "auto",
) -> Plan:
    """Check a merge before it starts.

    Args:
        recipe: what to merge.
        folders: reference -> folder, for every parent.
        out: the folder to be made; None for a merge into memory.
        device: "auto", "cpu" or a CUDA device.

    Raises:
        ModelError: a folder that cannot be opened as a model at all.
        RecipeError: a parent without a folder.
    """
    out = None if out is None else Path(out)
    with open_parents(recipe, folders) as parents:
        checks = check_parents(
            parents.in_order, parents.vocabulary, sliced=bool(parents.recipe.slices)
        )
        checks.extend(check_chat(parents))
        outputs, problems = _outputs(parents, checks)
        checks.extend(problems)
        if recipe.method != "passthrough" and all(check.state != "bad" for check in checks):
            checks.extend(check_origins(parents.base, parents.models))
        needs = estimate(parents, outputs, out, choose_devices(device)[0])
        checks.extend(check_fit(needs))
    if out is not None:
        checks.extend(_check_output(out))
    return Plan(tuple(checks), needs)


def _outputs(parents: Parents, checks: Sequence[Check]) -> tuple[list[OutputTensor], list[Check]]:
    """The tensors of the result, and what stands in the way of knowing them."""
    if all(check.state != "bad" for check in checks):
        try:
            steps = program(parents)
        except (RecipeError, ModelError) as error:
            return [], [Check("Recipe", "bad", str(error))]
        unused = unused_filters(parents.recipe, [step.name for step in steps])
        return [step.output for step in steps], [
            Check("Schedules", "warn", f'The filter "{one}" matches no tensor.', "Check its words.")
            for one in unused
        ]
    tensors = parents.reference.tensors.values()
    return [OutputTensor(info.dtype, info.shape) for info in tensors], []


def _check_output(out: Path) -> Iterator[Check]:
    """Whether the output folder can be made."""
    if os.path.lexists(out):
        yield Check("Output", "bad", f"{out} exists already.", "Choose another name.")
        return
    place = out.absolute().parent
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        yield Check("Output", "bad", f"{place} is not a folder.", "Choose another place.")
    elif not os.access(place, os.W_OK | os.X_OK):
        yield Check(
            "Output", "bad", f"There is no permission to write to {place}.", "Choose another place."
        )
