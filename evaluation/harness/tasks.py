"""Loading lm-evaluation-harness tasks, and turning their documents into requests.

Prompts, targets, filters and metrics are the task's own; what is ours is where local data come
from (straight from the file, relative to the task's YAML, nothing written to a cache) and that
every problem becomes one sentence.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from evaluation.errors import EvaluationError, EvaluationFailure, TaskError
from evaluation.harness.first_item import first_item_may_be_bad
from evaluation.harness.own_tasks import load_harness_task
from evaluation.harness.task_files import TaskFile
from evaluation.published.facts import dataset_of
from evaluation.published.folder import locate, told_missing
from evaluation.published.hub import commit_of, download, offline
from evaluation.published.prompt_versions import knows_versions, overrides
from evaluation.suites import Settings, Suite

FEWSHOT_SEED = 1234  # the harness's default


def load_task(suite: Suite, name: str, files: dict[str, TaskFile]) -> Any:
    """Build one lm-eval task with the suite's settings.

    Args:
        suite: that the task belongs to.
        name: of the task.
        files: from ``suite.task_files()``.

    Returns:
        An ``lm_eval.api.task.Task`` with its data loaded.

    Raises:
        TaskError: unknown task, malformed YAML, missing or malformed data.
    """
    _cache_templates()
    settings = suite.settings_for(name)
    file = files.get(name)
    try:
        if file is None:
            if name not in suite.harness:
                raise TaskError(f"no task file defines {name!r}")
            leaf = suite.harness[name]
            with first_item_may_be_bad():
                task = load_harness_task(leaf, suite.revisions)
            return _prepare(task, settings)
        if file.problem:
            raise TaskError(file.problem.rstrip("."))
        return _prepare(_build(name, file, settings), settings)
    except EvaluationError:
        raise
    except IndexError as error:
        # The harness looks at the first letter of each choice of the first document.
        hint = "; is a choice of its first item empty?" if "string index" in str(error) else ""
        raise TaskError(f"it cannot be built ({_explain(error)}){hint}") from error
    except Exception as error:  # whatever a task's own code raises is that task's problem
        raise TaskError(f"it cannot be built ({_explain(error)})") from error


def _build(name: str, file: TaskFile, settings: Settings) -> Any:
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks._yaml_loader import load_yaml

    config = dict(load_yaml(file.path, resolve_func=True))
    config["task"] = name
    if settings.num_fewshot is not None:
        config["num_fewshot"] = settings.num_fewshot
    version = settings.prompt_version
    if version is not None and knows_versions(file.config):
        config["dataset_kwargs"] = {**config["dataset_kwargs"], "prompt_version": version}
        config |= overrides(str(file.config["dataset_kwargs"].get("task", name)), version)
    data = file.data_files()
    if file.published:
        obtain(file)
    elif data:
        _check_exist(data)
        kwargs = dict(config.get("dataset_kwargs") or {})
        if config.get("dataset_path") == "json" and set(kwargs) == {"data_files"}:
            splits = {split: read_json_lines(paths) for split, paths in data.items()}
            config["custom_dataset"] = lambda **_: _as_datasets(splits)
        else:
            kwargs["data_files"] = {k: [str(p) for p in paths] for k, paths in data.items()}
            config["dataset_kwargs"] = kwargs
    with first_item_may_be_bad():
        task = TaskManager(include_defaults=False).load([config])["tasks"][name]
    task.own_file = bool(data) and not file.published
    return task


def _prepare(task: Any, settings: Settings) -> Any:
    """Settings that a task takes after it is built."""
    if settings.num_fewshot is not None:
        task.set_config("num_fewshot", settings.num_fewshot)
    if settings.max_gen_toks is not None and task.get_config("generation_kwargs"):
        task.set_config("generation_kwargs", {"max_gen_toks": settings.max_gen_toks}, update=True)
    task.set_fewshot_seed(seed=settings.fewshot_seed or FEWSHOT_SEED)
    return task


def obtain(file: TaskFile) -> str:
    """Make sure that a task's published file is here, from the Hub where it is to be had there.

    Returns:
        The commit of the Hub's repository that it is of; empty for a file of the data folder.

    Raises:
        TaskError: it is not here and cannot be had, in one sentence.
    """
    found = locate(file.published)
    if not found:
        dataset = dataset_of(file.published)
        missing = told_missing(file.published, file.published_at)
        if dataset is None or not dataset.hub_patterns(file.published) or offline():
            raise TaskError(missing)
        try:
            found = download(dataset, file.published)
        except EvaluationFailure as error:
            raise TaskError(f"{missing}; {error}") from error
    return commit_of(found[0])


def _check_exist(data: dict[str, list[Path]]) -> None:
    for paths in data.values():
        for path in paths:
            if not path.is_file():
                raise TaskError(f"its data file {path} does not exist")


def read_json_lines(paths: list[Path]) -> list[dict[str, Any]]:
    """Documents of JSON-lines files, or of files that hold one JSON list.

    Raises:
        TaskError: a line that is not a JSON object, or no documents at all.
    """
    rows: list[dict[str, Any]] = []
    for path in paths:
        for where, row in _parse_rows(path):
            if not isinstance(row, dict):
                raise TaskError(f"{path}, {where} is not a JSON object")
            rows.append(row)
    if not rows:
        raise TaskError(f"its data file {paths[0]} has no documents")
    return rows


def _parse_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """(where, value) of each line, or of each entry where the file is one JSON list."""
    text = path.read_text(encoding="utf-8")
    try:
        whole = json.loads(text) if text.lstrip().startswith("[") else None
    except json.JSONDecodeError:
        whole = None  # lines that each begin with a bracket
    if isinstance(whole, list):
        yield from ((f"entry {number}", row) for number, row in enumerate(whole, start=1))
        return
    # Not splitlines(): it also splits at separators that JSON strings may contain.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield f"line {number}", json.loads(line)
            except json.JSONDecodeError as error:
                raise TaskError(f"{path}, line {number} is not JSON ({error.msg})") from error


def _as_datasets(splits: dict[str, list[dict[str, Any]]]) -> Any:
    from datasets import Dataset, DatasetDict

    # The columns are those of all lines, not of the first alone, which may be the one that is bad.
    names = {split: dict.fromkeys(k for row in rows for k in row) for split, rows in splits.items()}
    return DatasetDict(
        {
            split: Dataset.from_list(
                [{name: row.get(name) for name in names[split]} for row in rows]
            )
            for split, rows in splits.items()
        }
    )


def count_items(task: Any, limit: int | None) -> int:
    """Documents that will be asked."""
    n = len(task.eval_docs)
    return n if limit is None else min(n, limit)


def _explain(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@cache
def _cache_templates() -> None:
    """Compile each prompt template once.

    The harness compiles a task's Jinja template anew for every document and use of it, a third of
    a millisecond each; over a suite of small tasks that is most of the time.
    """
    from lm_eval import utils

    utils.env.from_string = lru_cache(maxsize=1024)(utils.env.from_string)


@contextmanager
def quiet_harness() -> Iterator[None]:
    """Keep lm-eval's hints to task authors out of the log of an evaluation."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
