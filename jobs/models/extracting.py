"""Extracting a LoRA from an expert and its base: asked for by a page, or done in the terminal."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from db import settings
from db.queries import models as model_rows
from db.queries.models import ModelRow
from jobs.errors import JobError
from jobs.kinds import Event
from jobs.models import names as naming
from jobs.models import recipes, registry
from jobs.running import api

OTHERS = ("leave", "whole")
DTYPES = ("float32", "bfloat16", "float16")


def ask(
    expert: str, base: str, *, rank: int, others: str = "leave", name: str | None = None,
    dtype: str = "float32",
) -> int:  # fmt: skip
    """Queue an extraction and return the job's number.

    Args:
        expert: registered name.
        base: registered name.
        rank: of the LoRA.
        others: "leave" or "whole"; see `merging.extract`.
        name: of the adapter in the registry; default made from the expert's.
        dtype: of the LoRA's matrices.

    Raises:
        JobError: a name that is taken or cannot be one.
    """
    label = _name(name, expert, rank)
    out = settings.models_folder() / naming.folder(label)
    spec = _spec(expert, base, rank=rank, others=others, dtype=dtype, name=label, out=out)
    group = uuid.uuid4().hex[:12]
    return api.submit("extract", spec, title=f"Extract {label}", group=group, once=True)


def extract(
    expert: str, base: str, out: Path, *, rank: int, others: str, dtype: str, device: str = "auto"
) -> Iterator[Event]:
    """Extract into a folder, in this process; the result has the registered `name`.

    Raises:
        ModelError, HubError, RecipeError, MergeFailure, JobError: in one sentence.
    """
    from jobs.kinds.extract import run

    recipes.check_device(device)
    registry.ensure_sandbox()
    spec = _spec(expert, base, rank=rank, others=others, dtype=dtype, name=out.name, out=out)
    spec["device"] = device
    result: Event = {}
    for event in run(spec):
        match event["kind"]:
            case "result":
                result = event
            case "made":
                pass
            case _:
                yield event
    model_id = registry.register_model(str(out.absolute()), role="expert")
    yield {**result, "name": recipes.get(model_id).name}


def likely_base(row: ModelRow) -> str | None:
    """The name of the model that an expert was most likely made from, as far as is known."""
    for parent in row.parents:
        if parent.role == "base":
            return parent.name
    family = row.name.rpartition("/")[0]
    rows = [one for one in model_rows.models(role="base") if one.id != row.id]
    rows.sort(key=lambda one: (one.name.rpartition("/")[0] != family,
                               one.n_parameters != row.n_parameters))  # fmt: skip
    return rows[0].name if rows else None


def _spec(
    expert: str, base: str, *, rank: int, others: str, dtype: str, name: str, out: Path
) -> dict[str, Any]:
    """What the kind `extract` is to do."""
    return {
        "expert": _source(expert),
        "base": _source(base),
        "rank": rank,
        "others": others,
        "dtype": dtype,
        "name": name,
        "out": str(out.absolute()),
    }


def _source(ref: str) -> dict[str, Any]:
    row = model_rows.model(ref) or recipes.get(registry.register_model(ref))
    if not row.source:
        raise JobError(f"“{row.name}” is not on the disk. Merge it into a folder first.")
    return {"name": row.name, "source": row.source, "revision": row.revision}


def _name(name: str | None, expert: str, rank: int) -> str:
    taken = set(model_rows.names()) | {path.name for path in settings.models_folder().iterdir()}
    if name is None:
        return naming.suggest(f"{expert.rpartition('/')[2]}-lora-{rank}", taken)
    name = naming.check(name)
    if name in taken or naming.folder(name) in taken:
        free = naming.suggest(name, taken)
        raise JobError(f"There is a model “{name}” already. Choose another name, such as “{free}”.")
    return name
