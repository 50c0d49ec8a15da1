"""Building lm-eval's own tasks: pinned or local data, and a sentence when there are none.

A dataset that lies in the data folder under its Hub name (``<data folder>/cais/mmlu``, the
repository's files as they are) is read from there; else the Hub's library finds it in its cache or
downloads it, at the suite's revision where it pins one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from evaluation.errors import TaskError
from evaluation.harness.catalogue import catalogue
from evaluation.harness.data import local_dataset
from evaluation.harness.groups import Leaf, expand
from evaluation.harness.task_files import read_config
from evaluation.published.folder import DATA_DIR, data_folder

_ABSENT = ("ConnectionError", "OfflineModeIsEnabled", "LocalEntryNotFoundError", "ConnectTimeout",
           "DatasetNotFoundError", "FileNotFoundError", "DataFilesNotFoundError", "MaxRetryError",
           "ConnectError", "HfHubHTTPError", "EmptyDatasetError")  # fmt: skip


def load_harness_task(leaf: Leaf, revisions: Mapping[str, str]) -> Any:
    """Build one task of lm-eval's own with its data loaded.

    Args:
        leaf: from the suite.
        revisions: dataset to commit, where the suite pins it.

    Raises:
        TaskError: its dataset is not here and cannot be had, in one sentence.
    """
    from lm_eval.tasks._factory import TaskFactory
    from lm_eval.tasks._index import Entry, Kind

    config = {**(read_config(leaf.path) if leaf.path else {}), **leaf.overrides}
    dataset = str(config.get("dataset_path") or "")
    changes = dict(_resolved(leaf).overrides)
    python = _python_class(leaf)
    if python is None:
        changes |= _data(dataset, config, revisions)
    else:
        dataset = str(getattr(python, "DATASET_PATH", None) or "")
    entry = Entry(
        name=leaf.name,
        kind=Kind.PY_TASK if leaf.python else Kind.TASK,
        yaml_path=leaf.path,
        cfg=None if leaf.path else {},
    )
    try:
        with _reading_here(python, dataset):
            return TaskFactory().build(entry, overrides={**changes, "task": leaf.name}, registry={})
    except Exception as error:
        told = _told(error, dataset, config, revisions)
        if told is None:
            raise
        raise TaskError(told) from error


def _python_class(leaf: Leaf) -> Any:
    """The class that defines a task, None for a task of YAML alone."""
    if not leaf.python or not leaf.path:
        return None
    from lm_eval.tasks._yaml_loader import load_yaml

    return load_yaml(leaf.path, resolve_func=True).get("class")


@contextmanager
def _reading_here(python: Any, dataset: str) -> Iterator[None]:
    """Within it, a class reads its dataset from the data folder where it is there."""
    folder = local_dataset(dataset) if python is not None and dataset else None
    if folder is None:
        yield
        return
    python.DATASET_PATH = str(folder)
    try:
        yield
    finally:
        python.DATASET_PATH = dataset


def _data(dataset: str, config: Mapping[str, Any], revisions: Mapping[str, str]) -> dict[str, Any]:
    """What is changed in a task's YAML about where its data come from."""
    folder = local_dataset(dataset)
    kwargs = dict(config.get("dataset_kwargs") or {})
    kwargs.pop("trust_remote_code", None)  # no dataset's own code is ever run
    if folder is not None:
        kwargs.pop("revision", None)
        return {"dataset_path": str(folder), "dataset_kwargs": kwargs}
    if dataset in revisions:
        return {"dataset_kwargs": {**kwargs, "revision": revisions[dataset]}}
    return {"dataset_kwargs": kwargs} if "dataset_kwargs" in config else {}


def _resolved(leaf: Leaf) -> Leaf:
    """The leaf with functions in its group's overrides imported, as the harness would."""
    if not leaf.overrides:
        return leaf
    from lm_eval.tasks._yaml_loader import load_yaml

    leaves, _ = expand(leaf.root, catalogue(), lambda path: load_yaml(path, resolve_func=True))
    return next(one for one in leaves if one.name == leaf.name)


def _told(
    error: BaseException | None,
    dataset: str,
    config: Mapping[str, Any],
    revisions: Mapping[str, str],
) -> str | None:
    """The sentence about data that cannot be had; None for a fault of another kind."""
    if not dataset:
        return None
    part = f" (part {config['dataset_name']})" if config.get("dataset_name") else ""
    told = f"its dataset {dataset}{part}"
    text = " ".join(str(error).split())
    if "scripts are no longer supported" in text:
        return (
            f"{told} is published as a script of its own, which is not run; put its files into "
            f"{data_folder() / dataset} in a form that `datasets` reads, such as Parquet"
        )
    if "gated dataset" in text:
        return (f"{told} is given only to accounts that agreed to its conditions: do so at "
                f"https://huggingface.co/datasets/{dataset} and set HF_TOKEN")  # fmt: skip
    if "BuilderConfig" in text and "not found" in text:
        where = local_dataset(dataset) or "the Hub"
        there = text.partition("Available: ")[2] or "none"
        return f"{told} is not among what {where} has of it, which is {there[:200]}"
    names = set()
    while error is not None:
        names.add(type(error).__name__)
        error = error.__cause__ or error.__context__
    if names.isdisjoint(_ABSENT):
        return None
    revision = f" at revision {revisions[dataset]}" if dataset in revisions else ""
    return (
        f"{told} is not on this machine and cannot be had from the Hub now; with a network it is "
        f"downloaded, or put its repository{revision} into {data_folder() / dataset} ({DATA_DIR} "
        "or --data-dir names another folder)"
    )
