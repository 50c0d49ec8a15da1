"""Rebuild and verify: merge again by a merge's own recipe, and compare every byte with the file's.

Nothing is written: the sink holds what arrives against what lies in the folder.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merging.checkpoints.checkpoint import Checkpoint
from merging.checkpoints.header import MAX_HEADER_BYTES
from merging.checkpoints.stored import ITEM_BYTES
from merging.errors import ModelError
from merging.recipes.recipe import Recipe
from merging.streaming.sinks import BytesSink
from merging.wording import in_words

if TYPE_CHECKING:
    from merging.streaming.program import Step

Event = dict[str, Any]
RECIPE = "recipe.yaml"


@dataclass
class ComparingSink(BytesSink):
    """Compares chunks with the tensors of a folder.

    Attributes:
        checkpoint: opened folder.
        differing: tensor -> its elements that differ so far.
    """

    checkpoint: Checkpoint
    differing: dict[str, int] = field(default_factory=dict)

    def write_bytes(self, name: str, start: int, data: memoryview) -> None:
        """Compare elements as bytes."""
        import numpy as np

        info = self.checkpoint.in_files[name]
        there = bytearray(len(data))
        self.checkpoint.read_file(info, start, memoryview(there))
        if there != data:
            item = ITEM_BYTES[info.dtype]
            pair = (np.frombuffer(one, np.uint8).reshape(-1, item) for one in (there, data))
            count = int(np.any(np.not_equal(*pair), axis=1).sum())
            self.differing[name] = self.differing.get(name, 0) + count


def read_recipe(folder: Path) -> Recipe:
    """The recipe that lies in a merge's folder.

    Raises:
        ModelError: there is none.
        RecipeError: it is not one.
    """
    try:
        return Recipe.from_yaml((folder / RECIPE).read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{folder.name} has no {RECIPE}: only a folder that was merged here can be rebuilt."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{folder.name}: {RECIPE} cannot be read: {error}.") from None


def rebuild(
    folder: str | Path,
    folders: Mapping[str, Path],
    *,
    device: str = "auto",
    threads: int = 1,
    chunk_elements: int | None = None,
) -> Generator[Event, None, bool]:
    """Merge again by the recipe in a folder, into nothing, and compare.

    Args:
        folder: of the merge.
        folders: reference -> folder, for every parent of its recipe.
        device: as for a merge; another type of device than the merge's may differ in last places.
        threads: as for a merge.
        chunk_elements: as for a merge.

    Yields:
        Events; the last is {"kind": "result", "same", "tensors", "differing", "text", "seconds"}.

    Returns:
        Whether every tensor is the same.

    Raises:
        ModelError: no recipe, parents that are missing or changed, a folder that cannot be read.
    """
    from merging.checkpoints.parents import open_parents
    from merging.checkpoints.watch import Watch
    from merging.engine import pin
    from merging.streaming.devices import choose_devices
    from merging.streaming.program import program
    from merging.streaming.stream import merge_tensors

    folder, began = Path(folder), time.monotonic()
    recipe = read_recipe(folder)
    if _made_by(folder) not in (None, recipe.hash):
        raise ModelError(
            f"{folder.name}: {RECIPE} is not the recipe that the weights were merged by (that has "
            f"the hash {str(_made_by(folder))[:12]}). Put that recipe back to rebuild them."
        )
    yield {"kind": "stage", "stage": "Reading the parents"}
    with open_parents(recipe, folders) as opened, Checkpoint.open(folder) as made:
        watch = Watch({**opened.by_ref, folder.name: made})
        steps = program(pin(opened))
        _require_same_names(made, steps)
        sink = ComparingSink(made)
        yield {"kind": "stage", "stage": "Rebuilding"}
        devices = choose_devices(device)
        for event in merge_tensors(
            steps, sink, devices=devices, threads=threads, chunk_elements=chunk_elements
        ):
            yield {**event, "stage": "Rebuilding"}
        watch.require_unchanged()
    differing = {step.name: sink.differing[step.name] for step in steps
                 if step.name in sink.differing}  # fmt: skip
    yield {
        "kind": "result",
        "same": not differing,
        "tensors": len(steps),
        "differing": differing,
        "text": verdict(len(steps), differing),
        "seconds": time.monotonic() - began,
    }
    return not differing


def verdict(n_tensors: int, differing: Mapping[str, int]) -> str:
    """What came out, in a sentence."""
    if not differing:
        return f"The recipe gives the same {n_tensors} tensors, byte for byte."
    first, count = next(iter(differing.items()))
    more = f" ({len(differing)} of {n_tensors} tensors differ)" if len(differing) > 1 else ""
    return (
        f"The recipe gives other weights: {first} differs in {count:,} elements{more}. The folder "
        "was changed since it was merged, or merged by another version or type of device."
    )


def _made_by(folder: Path) -> str | None:
    """Hash of the recipe in the headers of the weights; None where there is none."""
    for file in sorted(folder.glob("*.safetensors"))[:1]:
        try:
            with file.open("rb") as stream:
                said = int.from_bytes(stream.read(8), "little")
                text = stream.read(min(said, MAX_HEADER_BYTES))
            found = json.loads(text).get("__metadata__", {}).get("crucible_recipe")
        except (OSError, ValueError, AttributeError, RecursionError):
            return None  # the header is checked, with its sentence, when the folder is opened
        return found if isinstance(found, str) else None
    return None


def _require_same_names(made: Checkpoint, steps: list[Step]) -> None:
    """The folder holds the tensors that the recipe makes, in their dtypes and shapes."""
    wanted = {step.name: (step.output.dtype, tuple(step.output.shape)) for step in steps}
    there = {name: (info.dtype, info.shape) for name, info in made.in_files.items()}
    missing = [name for name in wanted if name not in there]
    extra = [name for name in there if name not in wanted]
    other = [name for name in wanted if name in there and wanted[name] != there[name]]
    for what, names in (("lacks", missing), ("has besides", extra), ("has otherwise", other)):
        if names:
            raise ModelError(
                f"{made.label} {what} {in_words(names, most=3)}: it is not what its recipe makes."
            )
