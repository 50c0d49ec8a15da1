"""How alike models are: asking for a comparison, and finding one that was made before.

A comparison is a file in the cache, named after the content of the models, so that a second ask is
answered at once whatever the models are called and in whatever order they are named.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db import settings
from db.queries import models as model_rows
from db.queries.models import ModelRow
from jobs.errors import JobError
from jobs.models import describe, recipes, registry
from jobs.models.similarity_tables import Found
from jobs.running import duplicates, queue

KIND = "similarity"
LEAST, MOST = 2, 8


@dataclass(frozen=True)
class Choice:
    """Which models are to be compared.

    Attributes:
        base: what the others were made from; None compares weights only.
        models: two to eight, or one with a base.
    """

    base: ModelRow | None
    models: tuple[ModelRow, ...]

    @property
    def rows(self) -> list[ModelRow]:
        """Every model, the base first."""
        return [*([self.base] if self.base else []), *self.models]

    @property
    def group(self) -> str:
        """Name of the group that its jobs are in: the same for the same choice in any order."""
        said = [self.base.source if self.base else None, sorted(one.source for one in self.models)]
        return "similarity-" + hashlib.sha256(json.dumps(said).encode()).hexdigest()[:24]


def choose(models: Sequence[str], base: str | None = None) -> Choice:
    """Look models up by registered name, folder or Hub id; folders are registered.

    Raises:
        JobError: too few, too many, twice the same, or one that is nowhere on disk.
        ModelError: a folder without usable weights.
    """
    rows = [recipes.get(registry.register_model(ref)) for ref in models]
    base_row = recipes.get(registry.register_model(base)) if base else None
    return checked(rows, base_row)


def checked(models: Sequence[ModelRow], base: ModelRow | None) -> Choice:
    """A choice of registered models that can be compared.

    Raises:
        JobError: see `choose`.
    """
    unique = list({row.id: row for row in models}.values())
    if base is not None and base.id in {row.id for row in unique}:
        raise JobError(
            f"“{base.name}” is the base and among the models. Leave it out of the models: it is "
            "compared with each of them anyway."
        )
    if not (1 if base else LEAST) <= len(unique) <= MOST:
        raise JobError(
            f"Choose {LEAST} to {MOST} different models, or one and a base; there are "
            f"{len(unique)}."
        )
    for row in [*unique, *([base] if base else [])]:
        if not row.source:
            raise JobError(
                f"“{row.name}” was merged in memory and never written. Merge it into a folder "
                "first."
            )
    return Choice(base, tuple(unique))


def ask(choice: Choice, group: str | None = None) -> str | None:
    """Queue the comparison unless it is stored already; return its group, or None if it is.

    Args:
        choice: what is to be compared.
        group: of jobs that it is a part of; None for a group of its own.

    Raises:
        DatabaseError: the database cannot be written.
    """
    from db.engine import transaction
    from db.tables import Job
    from jobs.running.api import open_jobs

    if find(choice) is not None:
        return None
    if not open_jobs(choice.group):
        named = [_said(row) for row in choice.models]
        job = Job(
            kind=KIND,
            title=_title([row.name for row in choice.models]),
            spec={
                "models": named,
                "base": _said(choice.base) if choice.base else None,
                "rows": {row.name: row.name for row in choice.rows},
            },
            group=group or choice.group,
        )
        with transaction() as opened:
            # one that is a part of a study is not this one: pages watch a group
            duplicates.marked(job, f"{choice.group} in {job.group}")
            if duplicates.twin(opened, job) is None:
                queue.add(opened, job)
    return group or choice.group


def find(choice: Choice) -> Found | None:
    """The stored comparison, or None: never made, the files have changed, or it is damaged.

    Raises:
        ModelError: a model's folder is gone.
    """
    from merging.errors import ModelError
    from merging.similarity.result import Similarity

    folders = _folders(choice)
    if folders is None:
        return None  # not downloaded: certainly not compared yet
    known, bases = registry.fingerprints(), _bases_here(folders)
    base_folder = folders[choice.base.name] if choice.base else None
    said = {
        name: identity(name, folder, known, bases, base_folder) for name, folder in folders.items()
    }
    models = sorted((row.name for row in choice.models), key=said.__getitem__)
    base = [choice.base.name] if choice.base else []
    name = file_name([said[one] for one in models], said[base[0]] if base else None)
    try:
        return Found(Similarity.load(folder_of_results() / name), (*base, *models))
    except (FileNotFoundError, ModelError):
        return None


def needed(choice: Choice) -> Found:
    """The stored comparison of a choice that has just been compared.

    Raises:
        JobError: it is not there: somebody has changed the models or emptied the cache meanwhile.
    """
    found = find(choice)
    if found is None:
        raise JobError(
            "The comparison is not there any more: a model's files changed meanwhile, or the cache "
            "was emptied. Ask again.",
            exit_code=1,
        )
    return found


def identity(
    name: str,
    folder: Path,
    known: Mapping[str, str],
    bases: Mapping[str, Path],
    base: Path | None,
) -> str:
    """What stands for a model's content: its fingerprint where that is known, else its files.

    A model that was never fingerprinted is not read for it: comparing reads every byte once.

    Args:
        name: what it is called.
        folder: where it lies.
        known: signature to fingerprint.
        bases: folders of what adapters name as their base.
        base: folder of the comparison's base, which an adapter without its own is applied to.
    """
    from merging.formats.bases import base_wanted, is_adapter

    signature = describe.signature(folder)
    if is_adapter(folder):
        wanted = base_wanted(name, folder)
        below = bases.get(wanted[0]) if wanted else None
        below = below or base
        under = "" if below is None else identity("", below, known, {}, None)
        return f"adapter:{signature}:{under}"
    return known.get(signature) or f"files:{signature}"


def file_name(models: Sequence[str], base: str | None) -> str:
    """File of a comparison, from the identities of its models."""
    said = json.dumps([base, sorted(models)])
    return hashlib.sha256(said.encode()).hexdigest()[:40] + ".npz"


def folder_of_results() -> Path:
    """Where comparisons are kept; it may be deleted at any time."""
    folder = settings.cache_folder() / "similarity"
    folder.mkdir(exist_ok=True)
    return folder


def example() -> Choice | None:
    """The sandbox's experts and instruct model beside their base, or None when it is not there."""
    registry.ensure_sandbox()
    rows = {row.name: row for row in model_rows.models()}
    family = [rows.get(f"sandbox/{name}") for name in registry.SANDBOX_ORDER]
    base, *models = family
    found = tuple(row for row in models if row is not None)
    return Choice(base, found) if base is not None and found else None


def bases_wanted(folders: Mapping[str, Path]) -> dict[str, str]:
    """What the adapters among some models name as their base, to its folder or Hub id.

    Raises:
        ModelError: an adapter that is not readable.
    """
    from merging.formats.bases import base_wanted

    names = model_rows.names()
    wanted = [base_wanted(name, folder) for name, folder in folders.items()]
    return {one[0]: names.get(one[0], one[0]) for one in wanted if one}


def _folders(choice: Choice) -> dict[str, Path] | None:
    """Folder of every model by its name; None when one has not been downloaded.

    Raises:
        ModelError: a folder is gone.
    """
    from merging.checkpoints.sources import resolve
    from merging.errors import HubError

    found = {}
    for row in choice.rows:
        local = Path(row.source).is_absolute()
        names = {row.name: row.source} if local else {}
        try:
            found[row.name] = resolve(
                row.name if local else row.source, names, revision=row.revision, download=False
            )
        except HubError:
            return None
    return found


def _bases_here(folders: Mapping[str, Path]) -> dict[str, Path]:
    """Folders of the adapters' own bases, of those that are on this disk."""
    from merging.checkpoints.sources import resolve
    from merging.errors import MergingError

    found = {}
    for ref, source in bases_wanted(folders).items():
        with contextlib.suppress(MergingError):
            found[ref] = resolve(source, {}, download=False)
    return found


def _said(row: ModelRow) -> dict[str, Any]:
    return {"name": row.name, "source": row.source, "revision": row.revision}


def _title(names: Sequence[str]) -> str:
    from merging.wording import in_words

    title = f"Compare the weights of {in_words(names, most=4)}"
    return title if len(title) <= 180 else title[:179] + "…"
