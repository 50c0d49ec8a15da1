"""Published files on the Hub: found in its cache without its library, downloaded with it.

Only the files that a task reads are fetched, at the pinned commit where there is one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from evaluation.errors import EvaluationFailure
from evaluation.published.facts import Dataset

_ON = {"1", "true", "yes", "on"}


def offline() -> bool:
    """Whether the environment forbids asking the Hub."""
    names = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
    return any(os.environ.get(name, "").strip().lower() in _ON for name in names)


def hub_cache() -> Path:
    """The Hub library's cache folder, by its own rules."""
    given = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if given:
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{base}/huggingface"
    return Path(home).expanduser() / "hub"


def repo_in_cache(repo: str, revision: str = "") -> Path | None:
    """The snapshot of a dataset repository in the cache, None when there is none."""
    folder = hub_cache() / f"datasets--{repo.replace('/', '--')}"
    if not revision:
        try:
            revision = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return None
    snapshot = folder / "snapshots" / revision
    return snapshot if snapshot.is_dir() else None


def in_hub_cache(dataset: Dataset, name: str) -> list[Path]:
    """The files of a published name in the Hub's cache; none when it was not downloaded."""
    snapshot = repo_in_cache(dataset.repo, dataset.revision) if dataset.repo else None
    return first_match(snapshot, dataset.hub_patterns(name)) if snapshot else []


def first_match(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """The files of the first pattern that has any."""
    for pattern in patterns:
        found = sorted(path for path in folder.glob(pattern) if path.is_file())
        if found:
            return found
    return []


def download(dataset: Dataset, name: str) -> list[Path]:
    """Fetch a published file from the Hub into its cache.

    Raises:
        EvaluationFailure: offline, refused, or not there; in one sentence without its subject
            ("its data ...").
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    patterns = dataset.hub_patterns(name)
    try:
        folder = snapshot_download(
            dataset.repo,
            repo_type="dataset",
            revision=dataset.revision or None,
            allow_patterns=list(patterns),
        )
    except GatedRepoError as error:
        raise EvaluationFailure(
            f"the Hub gives {dataset.repo} only to accounts that agreed to its conditions: do so "
            f"at {dataset.source} and set HF_TOKEN"
        ) from error
    except RepositoryNotFoundError as error:
        raise EvaluationFailure(f"the Hub has no dataset {dataset.hub_name}") from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        text = " ".join(str(error).split())[:160] or type(error).__name__
        raise EvaluationFailure(
            f"{dataset.hub_name} cannot be downloaded from the Hub ({text})"
        ) from error
    found = first_match(Path(folder), patterns)
    if not found:
        raise EvaluationFailure(
            f"{dataset.hub_name} on the Hub has no file {' or '.join(patterns)}"
        )
    return found


def commit_of(path: Path) -> str:
    """The commit that a file in the Hub's cache is of, empty for a file elsewhere."""
    parts = path.parts
    if "snapshots" not in parts or not any(part.startswith("datasets--") for part in parts):
        return ""
    return parts[parts.index("snapshots") + 1]
