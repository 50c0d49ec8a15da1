"""Where the datasets of lm-eval's own tasks lie, told without lm-eval."""

from __future__ import annotations

from pathlib import Path

from evaluation.published.folder import data_folder
from evaluation.published.hub import hub_cache


def local_dataset(dataset: str) -> Path | None:
    """A Hub dataset's repository in the data folder, None when it is not there."""
    parts = dataset.split("/")
    if len(parts) != 2 or any(part in ("", ".", "..") for part in parts):
        return None  # the name of a builder such as json, or a path
    folder = data_folder() / dataset
    return folder if folder.is_dir() else None


def harness_data_here(dataset: str) -> bool:
    """Whether a dataset is in the data folder or has ever been downloaded."""
    cached = hub_cache() / f"datasets--{dataset.replace('/', '--')}"
    return local_dataset(dataset) is not None or (cached / "snapshots").is_dir()
