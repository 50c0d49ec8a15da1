"""Compare the weights of models in one pass over their bytes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

from jobs.kinds import Event
from jobs.kinds.parents import find
from jobs.kinds.threads import threads_for


def run(spec: dict[str, Any]) -> Iterator[Event]:
    """Compare, unless the same models were compared before.

    Args:
        spec: `models` and `base` (each with `name`, `source`, `revision`; the base may be None),
            `known` (signature to fingerprint), `out` (folder of the results).

    Yields:
        The scan's events, and a result with `file`, `tensors` and `seconds`.

    Raises:
        ModelError, HubError: models that cannot be compared or had.
    """
    from jobs.models.similarity import file_name, identity
    from merging.formats.bases import open_model
    from merging.similarity.scan import scan

    began = time.monotonic()
    folders: dict[str, Path] = {}
    for one in [*([spec["base"]] if spec["base"] else []), *spec["models"]]:
        folders[one["name"]] = yield from find(one["source"], one.get("revision"))
    base = spec["base"]["name"] if spec["base"] else None
    bases = yield from _bases(folders, base)
    said = {
        label: identity(label, folder, spec["known"], bases, folders[base] if base else None)
        for label, folder in folders.items()
    }
    models = sorted((label for label in folders if label != base), key=said.__getitem__)
    name = file_name([said[label] for label in models], said[base] if base else None)
    path = Path(spec["out"]) / name
    if _is_kept(path):
        yield {"kind": "stage", "stage": "Already compared: the result is used again"}
        yield {"kind": "result", "file": name, "reused": True}
        return
    with contextlib.ExitStack() as stack:
        opened = [
            stack.enter_context(open_model(label, {**bases, **folders}, recipe_base=base))
            for label in [*([base] if base else []), *models]
        ]
        threads = threads_for(folders.values())
        reference = opened.pop(0) if base else None
        for event in scan(opened, reference, threads=threads):
            if event["kind"] == "result":
                similarity = event["similarity"]
            else:
                yield event
    similarity.save(path)
    for note in similarity.notes:
        if note["kind"] == "not finite":
            yield {"kind": "warning", "text": f"{note['tensor']} holds NaN or infinity."}
    yield {
        "kind": "result",
        "file": name,
        "tensors": len(similarity.names),
        "seconds": round(time.monotonic() - began, 3),
    }


def _bases(
    folders: Mapping[str, Path], base: str | None
) -> Generator[Event, None, dict[str, Path]]:
    """Folders of what the adapters were trained on; where it is not to be had, the base serves.

    Raises:
        ModelError, HubError: no base at all.
    """
    from jobs.models.similarity import bases_wanted
    from merging.errors import MergingError

    found = {}
    for ref, source in bases_wanted(folders).items():
        try:
            found[ref] = folders[ref] if ref in folders else (yield from find(source, None))
        except MergingError:
            if base is None:
                raise
    return found


def _is_kept(path: Path) -> bool:
    """Whether a comparison is stored whole; a damaged one is made again."""
    from merging.errors import ModelError
    from merging.similarity.result import Similarity

    try:
        Similarity.load(path)
    except (FileNotFoundError, ModelError):
        return False
    return True
