"""Extract a LoRA from an expert and its base into a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jobs.kinds import Event
from jobs.kinds.parents import find
from jobs.kinds.threads import use_threads
from jobs.models.describe import describe


def run(spec: dict[str, Any]) -> Iterator[Event]:
    """Extract.

    Args:
        spec: `expert` and `base` (each with `name`, `source`, `revision`), `rank`, `others`,
            `dtype`, `device`, `name` and `out` (folder).

    Yields:
        The engine's events, a "made" event with what the registry keeps, and the result.

    Raises:
        RecipeError, ModelError, HubError, MergeFailure: in one sentence.
    """
    from merging.checkpoints.checkpoint import Checkpoint
    from merging.extract import extract_to_folder

    folders: dict[str, Path] = {}
    for part in ("expert", "base"):
        folders[part] = yield from find(spec[part]["source"], spec[part].get("revision"))
    use_threads(folders.values())
    out = Path(spec["out"])
    # a Hub id or a folder; a registered name means nothing to PEFT
    base_name = spec["base"]["source"]
    result: Event = {}
    with (
        Checkpoint.open(folders["expert"], label=spec["expert"]["name"]) as expert,
        Checkpoint.open(folders["base"], label=spec["base"]["name"]) as base,
    ):
        for event in extract_to_folder(
            expert,
            base,
            out,
            rank=int(spec["rank"]),
            base_name=base_name,
            others=spec.get("others", "leave"),
            dtype=spec.get("dtype", "float32"),
            device=_device(spec.get("device", "auto")),
        ):
            if event["kind"] == "result":
                result = event
            else:
                yield event
    yield {
        "kind": "made",
        "name": spec["name"],
        "source": str(out),
        "role": "expert",
        **describe(out),
    }
    kept = {key: result[key] for key in ("rank", "captured", "size_bytes", "seconds")}
    yield {"kind": "result", "model": spec["name"], "out": str(out), **kept}


def _device(device: str) -> str:
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
