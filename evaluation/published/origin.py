"""Where a task's data came from, to be kept with its score."""

from __future__ import annotations

import re
from typing import Any

from evaluation.published.facts import dataset_of
from evaluation.published.folder import data_folder, locate
from evaluation.published.hub import commit_of

_HUB_FILE = re.compile(r"datasets/([^@]+)@([0-9a-f]{7,40})(?:/|$)")


def origin(task: Any) -> str:
    """``repo@commit`` of the Hub, ``data folder``, or an empty text for the project's own data.

    Args:
        task: lm-eval task with its data loaded.
    """
    config = task.config
    kwargs = dict(getattr(config, "dataset_kwargs", None) or {})
    if published := str(kwargs.get("published") or ""):
        found = locate(published)
        commit = commit_of(found[0]) if found else ""
        dataset = dataset_of(published)
        return f"{dataset.repo}@{commit}" if commit and dataset else "data folder"
    path = str(getattr(config, "dataset_path", None) or "")
    if path.startswith(str(data_folder())):
        return "data folder"
    return _downloaded(task)


def _downloaded(task: Any) -> str:
    """The commit that the Hub's library notes with what it downloaded."""
    dataset = getattr(task, "dataset", None)
    for split in dataset.values() if isinstance(dataset, dict) else ():
        info = getattr(split, "info", None)
        for address in getattr(info, "download_checksums", None) or {}:
            if found := _HUB_FILE.search(str(address)):
                return f"{found.group(1)}@{found.group(2)}"
    return ""
