"""Models by name: what can be merged, scored and talked to, and what is known about each."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import settings
from db.engine import session, transaction
from db.queries import models as model_rows
from db.tables import Model, Parent
from jobs.errors import JobError
from jobs.models import adapters, describe, pickles
from jobs.models import names as naming
from jobs.models.removal import archive, delete_model, forget_unseen
from jobs.wording import missing

__all__ = [
    "archive", "check_hub_id", "compatibility", "delete_model", "ensure_sandbox", "fingerprints",
    "folders", "forget_unseen", "merges_on_disk", "missing", "names", "register_model",
]  # fmt: skip

if TYPE_CHECKING:
    from merging.planning.plan import Plan
    from merging.recipes.recipe import Recipe

SANDBOX = settings.PROJECT / "sandbox"
SANDBOX_ORDER = ("base", "finance", "math", "japanese", "instruct")
SANDBOX_ROLES = {"base": "base", "instruct": "instruct"}  # the others are experts
HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}$")
READ_AT_ONCE_BYTES = 1_000_000_000  # more than this is fingerprinted by the job, not by the caller


def register_model(
    ref: str, *, name: str | None = None, role: str | None = None, domain: str | None = None,
    convert_pickle: bool = False,
) -> int:  # fmt: skip
    """Put a folder or a Hub id into the registry and return its number.

    A folder's headers and configuration are read and checked; a Hub id that is not in the local
    cache is registered by name only and looked at when a job downloads it. A model that is there
    already is brought up to date.

    Args:
        ref: registered name, folder or Hub id.
        name: what to call it; default the folder's name or the Hub id.
        role: "base", "expert" or "instruct"; default guessed from the name and the files.
        domain: what it is good at; default guessed from the name.
        convert_pickle: the user agrees to pickled weights being opened and copied as safetensors;
            what is registered then is the copy.

    Raises:
        ModelError: a folder without usable weights.
        JobError: a name that is taken or cannot be one, or a ref that is nothing of the three.
    """
    ref = ref.strip()
    both = adapters.halves(ref)
    if both is not None:
        return _register_pair(*both)
    known = model_rows.model(ref)
    source = Path(known.source) if known else Path(ref).expanduser()
    if known and not (known.source and Path(known.source).is_absolute()):
        return known.id  # on the Hub, or a merge that was never written
    if known is None and not source.exists():
        check_hub_id(ref)
        return _enter(name or ref, ref, None, role, domain)
    folder = Path(os.path.abspath(source))
    if convert_pickle and pickles.is_pickled(folder):
        copy, taken = pickles.convert_now(folder, label=name or folder.name), names()
        if str(copy) not in taken.values():
            name = name or naming.suggest(folder.name, taken)
        folder, known = copy, None
    if name is not None:
        name = naming.check(name)
    return _enter(known.name if known else name, str(folder), folder, role, domain)


def _register_pair(base: str, adapter: str) -> int:
    """Put both halves of `BASE+ADAPTER` into the registry; the adapter's number stands for it."""
    register_model(base)
    row = model_rows.model(register_model(adapter))
    assert row is not None
    adapters.require_adapter(adapter, row.source)
    return row.id


def ensure_sandbox() -> int:
    """Register the shipped models as sandbox/base, sandbox/finance ...; return how many."""
    folders = [SANDBOX / name for name in SANDBOX_ORDER if _has_weights(SANDBOX / name)]
    for folder in folders:
        name = f"sandbox/{folder.name}"
        role = SANDBOX_ROLES.get(folder.name, "expert")
        domain = folder.name if role == "expert" else "general"
        row = model_rows.model(name)
        if row and row.source == str(folder) and _is_current(row.id, folder):
            continue
        _enter(name, str(folder), folder, role, domain, moved=True)
    return len(folders)


def names() -> Mapping[str, str]:
    """Registered name to folder or Hub id."""
    return model_rows.names()


def folders() -> dict[str, str]:
    """Registered name, and source as it was given, to folder: what `merging.resolve` is told."""
    return {
        name: source for name, source in model_rows.names().items() if Path(source).is_absolute()
    }


def fingerprints() -> dict[str, str]:
    """Signature of a folder's files to the fingerprint of its weights, of all that were read."""
    query = select(Model.signature, Model.fingerprint).where(
        Model.signature.is_not(None), Model.fingerprint.is_not(None)
    )
    with session() as opened:
        return {str(key): str(value) for key, value in opened.execute(query)}


def merges_on_disk() -> dict[str, dict[str, str]]:
    """Recipe hash to name, folder and the files' signature, of every merge that was written."""
    query = select(Model.recipe_hash, Model.name, Model.source, Model.signature).where(
        Model.recipe_hash.is_not(None), Model.source != "", Model.archived.is_(False)
    )
    with session() as opened:
        return {
            str(key): {"name": name, "source": source, "signature": signature or ""}
            for key, name, source, signature in opened.execute(query)
        }


def compatibility(
    recipe: Recipe | str, out: Path | None = None, *, device: str = "auto", name: str | None = None
) -> Plan:
    """Check a recipe against its models, the memory and the disk, without downloading anything.

    Args:
        recipe: the recipe, or its YAML text.
        out: folder that the merge would be written to; default the one that
            `jobs.running.api.merge_and_benchmark` would take for `name`.
        device: "auto", "cpu" or "cuda".
        name: name the merge would get.

    Raises:
        RecipeError, ModelError: as soon as something is wrong that leaves nothing to check.
        HubError: a model is on the Hub and has not been downloaded.
    """
    from merging.checkpoints.sources import resolve
    from merging.errors import HubError
    from merging.planning.plan import plan
    from merging.recipes.recipe import Recipe

    parsed = Recipe.from_yaml(recipe) if isinstance(recipe, str) else recipe
    known, sources = folders(), names()
    found = {}
    for ref in parsed.references:
        try:  # a name that stands for a Hub id is looked for in the Hub's cache
            both = adapters.halves(ref)
            own = both[1] if both else ref
            found[ref] = resolve(
                own if own in known else sources.get(own, own), known, download=False
            )
        except HubError as error:
            raise HubError(
                f"{ref} is not on this machine yet; it is taken for a model on the Hub.",
                exit_code=error.exit_code,
            ) from error
    found = {**adapters.folders_of_bases({ref: str(path) for ref, path in found.items()}), **found}
    if out is None:
        from jobs.models.recipes import output_folder

        out = output_folder(parsed, name)
    return plan(parsed, found, out, device)


def add_row(opened: Session, name: str, values: Mapping[str, Any]) -> Model:
    """Insert or renew the row of that name."""
    row = opened.scalar(select(Model).where(Model.name == name))
    if row is None:
        row = Model(name=name, source="", role="base")
        opened.add(row)
    for column, value in values.items():
        setattr(row, column, value)
    opened.flush()
    return row


def _enter(
    name: str | None,
    source: str,
    folder: Path | None,
    role: str | None,
    domain: str | None,
    *,
    moved: bool = False,
) -> int:
    """Insert or renew one row; everything slow happens before the write lock is taken.

    `moved`: a model of this name may have come here from another folder, as with a new checkout of
    the project; it is the same one where its weights are, or where nothing is left in that folder.
    """
    facts: dict[str, Any] = {}
    if folder is not None:
        facts = describe.headers(folder)
        facts["fingerprint"] = fingerprints().get(facts["signature"])
        if facts["fingerprint"] is None and facts["size_bytes"] <= READ_AT_ONCE_BYTES:
            facts = describe.describe(folder)
    recipe = _recipe_of(folder)
    with transaction() as opened:
        row = None
        if name is None:  # a folder that is known keeps its name
            row = opened.scalar(select(Model).where(Model.source == source))
            taken = set(opened.scalars(select(Model.name)))
            name = row.name if row else naming.suggest(Path(source).name, taken)
        row = row or opened.scalar(select(Model).where(Model.name == name))
        same = (
            moved
            and row is not None
            and (row.fingerprint == facts.get("fingerprint") or not Path(row.source).is_dir())
        )
        if row is not None and row.source not in (source, "") and not same:
            raise JobError(
                f"There is a model “{name}” already ({row.source}). Choose another name."
            )
        if row is None:
            row = add_row(opened, name, {
                "source": source,
                "role": role or describe.guess_role(name, folder),
                "domain": domain or describe.guess_domain(name),
            })  # fmt: skip
        values = {**facts, "source": source, "archived": False}
        values |= {key: value for key, value in (("role", role), ("domain", domain)) if value}
        row = add_row(opened, name, values)
        if recipe is not None and row.recipe_hash is None:
            enter_recipe(opened, row, recipe)
        return row.id


def enter_recipe(
    opened: Session, row: Model, recipe: Recipe, known: Mapping[str, str] | None = None
) -> None:
    """Write a merge's recipe and lineage into its row.

    Args:
        opened: a writing session.
        row: of the merge.
        recipe: that made it, or would.
        known: the registered name of each of the recipe's references; without it, parents are
            looked for by name, by folder and by fingerprint, and left out when not found.
    """
    row.recipe_yaml, row.recipe_hash, row.method = recipe.to_yaml(), recipe.hash, recipe.method
    row.parents.clear()
    opened.flush()
    for position, parent in enumerate(recipe.parents):
        name = (known or {}).get(parent.ref, parent.ref)
        same = (Model.name == name) | (Model.source == parent.ref)
        same = same | (Model.fingerprint == recipe.identity(parent.ref))
        found = list(opened.scalars(select(Model).where(same, Model.id != row.id)))
        found.sort(key=lambda one: (one.name != name, one.id))
        if found:
            weight = 1.0 if parent.weight is None else parent.weight
            row.parents.append(
                Parent(position=position, parent_id=found[0].id, role=parent.role, weight=weight)
            )
    opened.flush()


def _recipe_of(folder: Path | None) -> Recipe | None:
    if folder is None or not (folder / "recipe.yaml").is_file():
        return None
    from merging.errors import RecipeError
    from merging.recipes.recipe import Recipe

    try:
        return Recipe.from_yaml((folder / "recipe.yaml").read_text(encoding="utf-8"))
    except (RecipeError, OSError, UnicodeDecodeError):
        return None  # somebody else's file of that name


def check_hub_id(ref: str) -> None:
    """Refuse what is neither a name, nor a folder, nor can be a Hub id.

    Raises:
        JobError: with the nearest name that there is.
    """
    if not HUB_ID.match(ref) or _is_family(ref.partition("/")[0]):
        raise JobError(missing(ref))


def _is_family(organisation: str) -> bool:
    """Whether registered folders are called so: a mistyped sandbox/... is not asked of the Hub."""
    return any(name.startswith(f"{organisation}/") for name in folders())


def _is_current(model_id: int, folder: Path) -> bool:
    with session() as opened:
        row = opened.get_one(Model, model_id)
        return row.fingerprint is not None and row.signature == describe.signature(folder)


def _has_weights(folder: Path) -> bool:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and any(folder.glob("*.safetensors"))
