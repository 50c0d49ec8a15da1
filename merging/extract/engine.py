"""Extract a LoRA from an expert and its base into a folder that PEFT loads."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from merging.checkpoints.checkpoint import Checkpoint
from merging.checkpoints.folder import SINGLE
from merging.checkpoints.stored import STORED_NAMES, torch_dtype
from merging.errors import ModelError, RecipeError
from merging.extract.card import adapter_card
from merging.extract.layout import (
    AdapterLayout,
    Others,
    is_matrix,
    lay_out_adapter,
    names_of,
)
from merging.formats.adapter_config import CONFIG
from merging.formats.lora import WEIGHTS
from merging.output.partial import partial_folder, refuse_existing
from merging.planning.compatibility import check_parents
from merging.streaming.sinks import FolderSink
from merging.wording import in_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

Event = dict[str, Any]
CHUNK_ELEMENTS = 1 << 20
DTYPES = ("float32", "bfloat16", "float16")


def extract_to_folder(
    expert: Checkpoint,
    base: Checkpoint,
    out: str | Path,
    *,
    rank: int = 16,
    base_name: str | None = None,
    others: Others = "leave",
    dtype: str = "float32",
    device: str = "cpu",
) -> Generator[Event, None, Path]:
    """Write the LoRA of a rank that is nearest to expert - base.

    Every matrix of a linear layer gets the best approximation of its difference: B A of its
    singular value decomposition. Memory: one such matrix and its decomposition at a time.

    Args:
        expert: opened.
        base: opened; of the same shapes.
        out: the folder to make; it appears only when it is complete.
        rank: of each pair; a smaller matrix gets its own full rank.
        base_name: what adapter_config.json calls the base: a folder or Hub id.
        others: "whole" puts the norms, biases and embeddings that differ into the adapter as the
            expert has them (`modules_to_save`); "leave" leaves them the base's, and says so.
        dtype: of A and B: "float32", "bfloat16" or "float16".
        device: torch device to compute on.

    Yields:
        Events; progress of a matrix has `tensor` and `captured`, the share of the squared norm of
        its difference that is kept. The last is {"kind": "result", "path", "rank", "captured",
        "tensors", "size_bytes", "seconds"}.

    Returns:
        The folder's path.

    Raises:
        RecipeError: a rank or dtype that cannot be.
        ModelError: the two do not fit together, or a value is not finite.
        MergeFailure: the folder cannot be written; nothing is left under `out`.
    """
    _check_wishes(rank, others, dtype)
    out, started = Path(out).absolute(), time.monotonic()
    refuse_existing(out)
    yield {"kind": "stage", "stage": "Reading both models"}
    yield from _require_fit(base, expert)
    norms = {name: value for name, value in _other_norms(expert, base) if value > 0}
    layout = lay_out_adapter(expert, norms, rank, others)
    if not layout.low_rank:
        raise ModelError(f"{expert.label} has no linear layers that a LoRA could stand for.")
    outputs = layout.outputs(expert, STORED_NAMES[dtype])
    with partial_folder(out) as folder:
        sink = FolderSink(folder, outputs, max_shard_bytes=1 << 62, metadata={"format": "pt"})
        with sink:
            found = yield from _decompose(expert, base, layout, sink, dtype, device)
            _copy_whole(expert, layout, sink)
        (folder / SINGLE).rename(folder / WEIGHTS)
        captured = _captured(found, {name: norms[name] for name in layout.left})
        config = layout.config(base_name or str(base.folder), rank)
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", "utf-8")
        (folder / "README.md").write_text(
            adapter_card(expert, base, config, found, layout, captured), "utf-8"
        )
    if layout.left:
        yield {"kind": "warning", "text": _left_out(layout, norms, found)}
    yield {
        "kind": "result",
        "path": str(out),
        "rank": rank,
        "captured": captured,
        "tensors": found,
        "size_bytes": sum(output.n_bytes for output in outputs.values()),
        "seconds": time.monotonic() - started,
    }
    return out


def _check_wishes(rank: int, others: str, dtype: str) -> None:
    if rank < 1:
        raise RecipeError(f"The rank of a LoRA is a whole number from 1; {rank} cannot be one.")
    if dtype not in DTYPES:
        raise RecipeError(f"A LoRA is written as {in_words(DTYPES)}, not as {dtype}.")
    if others not in ("leave", "whole"):
        raise RecipeError(
            'Norms, biases and embeddings are left out ("leave") or taken "whole"; '
            f"{others} is neither."
        )


def _require_fit(base: Checkpoint, expert: Checkpoint) -> Iterator[Event]:
    """Refuse two models that are no expert and its base."""
    if base.is_tied != expert.is_tied:
        base.untie()
        expert.untie()
    for check in check_parents([base, expert]):
        if check.state == "bad":
            raise ModelError(f"{check.detail} {check.fix}".strip())
        if check.state == "warn":
            yield {"kind": "warning", "text": f"{check.detail} {check.fix}".strip()}


def _other_norms(expert: Checkpoint, base: Checkpoint) -> Iterator[tuple[str, float]]:
    """Norm of the difference of every floating-point tensor that is no linear layer's matrix."""
    for name, info in expert.tensors.items():
        if not info.is_float or is_matrix(expert, name):
            continue
        square = 0.0
        for start in range(0, info.n_elements, CHUNK_ELEMENTS):
            stop = min(start + CHUNK_ELEMENTS, info.n_elements)
            part = _difference(expert, base, name, start, stop)
            square += float(np.square(part, dtype=np.float64).sum())
        yield name, square**0.5


def _difference(expert: Checkpoint, base: Checkpoint, name: str, start: int, stop: int) -> Floats:
    """Tau of some elements, `[stop - start]` float32, finite."""
    values = np.empty((2, stop - start), np.float32)
    for model, out in ((expert, values[0]), (base, values[1])):
        model.values_into(name, start, stop, out)
        if not np.isfinite(out).all():
            raise ModelError(
                f"{model.label} holds a value that is not finite in tensor {name}. Use an intact "
                "copy of the model."
            )
    difference: Floats = np.subtract(values[0], values[1], out=values[0])
    return difference


def _decompose(
    expert: Checkpoint, base: Checkpoint, layout: AdapterLayout, sink: FolderSink,
    dtype: str, device: str,
) -> Generator[Event, None, list[dict[str, Any]]]:  # fmt: skip
    """Write A and B of every matrix; returns name, rank, captured and norm of each."""
    import torch

    from merging.extract.low_rank import approximate

    found = []
    for done, (name, rank) in enumerate(layout.low_rank.items(), 1):
        info = expert.tensors[name]
        tau = torch.from_numpy(_difference(expert, base, name, 0, info.n_elements))
        matrix = tau.view(info.shape).to(device)
        pair = approximate(matrix.T if layout.transposed else matrix, rank, name)
        for own, values in zip(names_of(name), (pair.right, pair.left), strict=True):
            sink.write(own, 0, values.contiguous().view(-1).to(torch_dtype(STORED_NAMES[dtype])))
        found.append({"name": name, "rank": rank, "captured": pair.captured, "norm": pair.norm})
        yield {
            "kind": "progress",
            "stage": "Decomposing",
            "done": done,
            "total": len(layout.low_rank),
            "unit": "tensors",
            "tensor": name,
            "captured": pair.captured,
        }
    return found


def _copy_whole(expert: Checkpoint, layout: AdapterLayout, sink: FolderSink) -> None:
    for name in layout.whole:
        n_elements = expert.tensors[name].n_elements
        for start in range(0, n_elements, CHUNK_ELEMENTS):
            stop = min(start + CHUNK_ELEMENTS, n_elements)
            sink.write(layout.name_of_whole(name), start, expert.read_flat(name, start, stop))


def _captured(found: list[dict[str, Any]], left: dict[str, float]) -> float:
    """Share of the whole model's squared difference that the matrices' LoRA and the rest keep."""
    total = sum(one["norm"] ** 2 for one in found)
    kept = sum(one["captured"] * one["norm"] ** 2 for one in found)
    total += sum(norm**2 for norm in left.values())
    return kept / total if total else 1.0


def _left_out(layout: AdapterLayout, norms: dict[str, float], found: list[dict[str, Any]]) -> str:
    lost = sum(norms[name] ** 2 for name in layout.left)
    share = lost / (lost + sum(one["norm"] ** 2 for one in found))
    count = len(layout.left)
    what = f"{layout.left[0]}" if count == 1 else f"{layout.left[0]} and {count - 1} more"
    return (
        f"The adapter leaves {what} as the base has them: {100 * share:.2g} % of the squared "
        'difference. Choose "whole" to take norms, biases and embeddings along.'
    )
