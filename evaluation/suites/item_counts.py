"""How many items a suite's tasks have, as far as their files say so without lm-eval."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from evaluation.harness.task_files import TaskFile
from evaluation.suites import Suite


def item_counts(suite: Suite) -> dict[str, int | None]:
    """Task -> number of its items; None where only loading the task would tell."""
    files = suite.task_files()
    return {task: _count(files.get(task)) for task in suite.tasks}


def _count(file: TaskFile | None) -> int | None:
    if file is None or file.problem or file.published or file.config.get("process_docs"):
        return None
    split = file.config.get("test_split") or file.config.get("validation_split")
    paths = file.data_files().get(str(split), [])
    try:
        counts = [_rows(path, path.stat().st_mtime_ns) for path in paths]
    except (OSError, ValueError):
        return None
    return sum(counts) or None


@lru_cache(maxsize=512)
def _rows(path: Path, _changed: int) -> int:
    """Lines of a JSON-lines file, or entries of a JSON list."""
    if path.suffix not in (".jsonl", ".json"):
        raise ValueError(f"{path} is not a file of JSON lines")
    text = path.read_text(encoding="utf-8")
    if text.lstrip().startswith("["):
        try:
            return len(json.loads(text))
        except json.JSONDecodeError:
            pass  # lines that each begin with a bracket
    return sum(1 for line in text.split("\n") if line.strip())
