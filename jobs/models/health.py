"""Health reports and rebuilds of models: asking for them, and finding reports made before.

A merge's report lies in its folder, as health.json. Of other folders, which are not ours to write
to (the Hub's cache, say), it lies in the cache, named after the state of their files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from db import settings
from db.engine import session, transaction
from db.queries import models as model_rows
from db.queries.models import ModelRow
from db.tables import Job, Model
from jobs.errors import JobError
from jobs.kinds import Event
from jobs.models import adapters, describe, registry
from jobs.running import duplicates
from jobs.running.api import open_jobs

if TYPE_CHECKING:
    from merging.recipes.recipe import Recipe

REPORT, RECIPE = "health.json", "recipe.yaml"
SKIP_GENERATION = "CRUCIBLE_SMOKE"  # "0" leaves out the generation at the end of merges and checks


@dataclass(frozen=True)
class Folder:
    """A model to look at.

    Attributes:
        name: registered name, or the folder's.
        path: where it lies.
        row: in the registry, when it is there.
    """

    name: str
    path: Path
    row: ModelRow | None

    @property
    def is_merge(self) -> bool:
        """Whether it was merged here: it has its recipe inside."""
        return (self.path / RECIPE).is_file()


def folder_of(ref: str) -> Folder:
    """A model by registered name, folder, or Hub id that has been downloaded.

    Raises:
        JobError, ModelError, HubError: it is nowhere on this disk.
    """
    from merging.checkpoints.sources import resolve

    row = model_rows.model(ref)
    if row is not None and not row.source:
        raise JobError(
            f"“{row.name}” was merged in memory and never written: there is nothing to look at."
        )
    path = Path(ref).expanduser()
    if row is None and path.is_dir():
        absolute = Path(os.path.abspath(path))
        known = {Path(source): name for name, source in registry.names().items()}
        name = known.get(absolute)
        return Folder(name or absolute.name, absolute, model_rows.model(name) if name else None)
    if row is None:
        registry.check_hub_id(ref)
    source = row.source if row else ref
    found = resolve(source, {}, revision=row.revision if row else None, download=False)
    return Folder(row.name if row else ref, found, row)


def ask(kind: str, row: ModelRow) -> str:
    """Queue a look at a registered model, "health" or "verify"; return the group of its job.

    Raises:
        DatabaseError: the database cannot be written.
    """
    group = f"{kind}-{row.id}"
    if not open_jobs(group):
        title = {"health": "Health of", "verify": "Rebuild and verify"}[kind]
        job = Job(
            kind=kind,
            title=f"{title} {row.name}"[:180],
            spec={"model": row.name, "rows": {row.name: row.name}},
            group=group,
        )
        with transaction() as opened:
            group = duplicates.add_once(opened, job).group or group
    return group


def complete(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What only the database knows, for a job of either kind.

    Raises:
        JobError, ModelError, HubError: the model is not there any more.
    """
    found = folder_of(str(spec["model"]))
    return of_folder(found)


def of_folder(found: Folder) -> dict[str, Any]:
    """The spec of either kind of job for a folder."""
    spec: dict[str, Any] = {
        "model": found.name,
        "folder": str(found.path),
        "report": str(report_folder(found)),
        "known": registry.fingerprints(),
        "recipe": None,
        "sources": {},
        "generate": os.environ.get(SKIP_GENERATION) != "0",
    }
    if found.is_merge:
        from merging.errors import RecipeError
        from merging.recipes.recipe import Recipe

        try:
            text = (found.path / RECIPE).read_text("utf-8")
            recipe = Recipe.from_yaml(text)
        except (OSError, UnicodeDecodeError, RecipeError):
            return spec  # the job says what is wrong with it
        spec |= {"recipe": text, "sources": sources_of(recipe)}
    return spec


def sources_of(recipe: Recipe) -> dict[str, str]:
    """Folder or Hub id of each parent of a merge: the one with the right content comes first.

    Names may have gone to other models since, and folders may have moved; what a recipe is pinned
    to is found by its fingerprint under whatever name.
    """
    known = registry.names()
    query = select(Model.fingerprint, Model.source).where(Model.source != "")
    with session() as opened:
        by_content: dict[str, list[str]] = {}
        for fingerprint, source in opened.execute(query):
            by_content.setdefault(str(fingerprint), []).append(str(source))
    found = {}
    for ref in recipe.references:
        half = adapters.halves(ref)
        named = known.get(half[1] if half else ref, half[1] if half else ref)
        same = [source for source in by_content.get(recipe.identity(ref), ())
                if not Path(source).is_absolute() or Path(source).is_dir()]  # fmt: skip
        found[ref] = named if named in same or not same else same[0]
        path = Path(found[ref]).expanduser()
        if path.exists():
            found[ref] = os.path.abspath(path)
    return {**adapters.bases(found), **found}


def report_folder(found: Folder) -> Path:
    """Folder of a model's report."""
    return found.path if found.is_merge else reports_folder() / describe.signature(found.path)


def reports_folder() -> Path:
    """Folder of the reports that lie in no model's folder; it may be deleted at any time."""
    folder = settings.cache_folder() / "health"
    folder.mkdir(exist_ok=True)
    return folder


def find(row: ModelRow) -> dict[str, Any] | None:
    """A registered model's report as JSON has it; None when nobody has looked since it changed."""
    source = Path(row.source)
    if not row.source or not source.is_absolute() or not source.is_dir():
        return None
    try:
        place = report_folder(Folder(row.name, source, row)) / REPORT
        data = json.loads(place.read_text("utf-8"))
        return data if isinstance(data, dict) and isinstance(data.get("checks"), list) else None
    except (OSError, ValueError, RecursionError):
        return None


def check(ref: str, *, generate: bool, device: str) -> Iterator[Event]:
    """Look at a model here, without the queue; see `jobs.kinds.health.run`."""
    from jobs.kinds.health import run

    yield from run({**of_folder(folder_of(ref)), "generate": generate, "device": device})


def verify(ref: str, *, device: str) -> Iterator[Event]:
    """Rebuild a merge here, without the queue; see `jobs.kinds.verify.run`."""
    from jobs.kinds.verify import run

    yield from run({**of_folder(folder_of(ref)), "device": device})
