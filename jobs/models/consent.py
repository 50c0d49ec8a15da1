"""Which models' own code the user lets run: asked once, kept with the code's fingerprint.

The answers are a file of the home, `trusted_code.json`: what was agreed to, for which model, when.
Code that changes has another fingerprint and is asked about again.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from db import settings
from db.queries import models as model_rows
from jobs.errors import JobError
from jobs.models import registry

if TYPE_CHECKING:
    from evaluation.scoring.remote_code import Code

FILE = "trusted_code.json"


def granted() -> list[str]:
    """Fingerprints of all code that may run."""
    return sorted(_read())


def code_of(source: str, revision: str | None = None) -> Code | None:
    """The code in a model's folder (or in its copy of the Hub), None where it needs none."""
    from evaluation.scoring import remote_code

    folder = _folder(source, revision)
    return remote_code.look(folder) if folder is not None else None


def is_granted(code: Code) -> bool:
    """Whether exactly this code may run."""
    from evaluation.scoring.remote_code import may_run

    return may_run(code, _read())


def was_granted(name: str) -> bool:
    """Whether other code of this model was agreed to before."""
    return any(one.get("model") == name for one in _read().values())


def grant(name: str, fingerprint: str) -> None:
    """Let a model's code run from now on, as long as it is the code that was looked at.

    Args:
        name: of the registered model.
        fingerprint: of the code that the user has seen.

    Raises:
        JobError: no such model, it has no such code, or the code has changed meanwhile.
    """
    row = model_rows.model(name)
    if row is None:
        raise JobError(registry.missing(name))
    code = code_of(row.source, row.revision)
    if code is None:
        raise JobError(f"“{name}” brings no code of its own: there is nothing to agree to.")
    if code.problem:
        raise JobError(f"The code of “{name}” is never run here: {code.problem}.")
    if code.fingerprint != fingerprint:
        raise JobError(f"The code of “{name}” has changed while you looked: look at it again.")
    kept = {key: one for key, one in _read().items() if one.get("model") != name}
    kept[fingerprint] = {"model": name, "folder": row.source, "files": list(code.files),
                         "agreed": time.time()}  # fmt: skip
    _write(kept)


def forget(name: str) -> bool:
    """Take a model's permission back; whether there was one."""
    kept = {key: one for key, one in _read().items() if one.get("model") != name}
    there = len(kept) < len(_read())
    if there:
        _write(kept)
    return there


def fetch(name: str) -> None:
    """Download the Python files of a model on the Hub, to be looked at.

    Raises:
        JobError: no such model, or the Hub does not give them.
    """
    row = model_rows.model(name)
    if row is None:
        raise JobError(registry.missing(name))
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(row.source, revision=row.revision, allow_patterns=["*.py", "*.json"])
    except Exception as error:
        reason = type(error).__name__
        raise JobError(
            f"The code of {row.source} cannot be had from the Hub ({reason})."
        ) from error


def _folder(source: str, revision: str | None) -> Path | None:
    if Path(source).is_absolute():
        return Path(source)
    if not source or not registry.HUB_ID.match(source):
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source, "config.json", revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def _read() -> dict[str, dict[str, Any]]:
    try:
        data = json.loads((settings.home() / FILE).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {key: one for key, one in data.items() if isinstance(one, dict)} if isinstance(
        data, dict) else {}  # fmt: skip


def _write(kept: dict[str, dict[str, Any]]) -> None:
    path = settings.home() / FILE
    half = path.with_name(f".{FILE}.{os.getpid()}")
    try:
        half.write_text(json.dumps(kept, indent=1, ensure_ascii=False), encoding="utf-8")
        os.replace(half, path)
    except OSError as error:
        raise JobError(f"The answer cannot be kept in {path}: {error.strerror}.") from error
