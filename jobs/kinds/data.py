"""Get the public files of a suite that the Hub has, at their pinned commits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jobs.errors import JobError
from jobs.kinds import Event


def run(spec: dict[str, Any]) -> Iterator[Event]:
    """Download what a suite's tasks read and is not here.

    Args:
        spec: `suite` (name or path), `data_dir`.

    Yields:
        stages, a warning for each file that cannot be had, and a result with `got` and `missing`.

    Raises:
        SuiteError: there is no such suite.
        JobError: nothing of what was missing could be had.
    """
    import os

    from evaluation.errors import EvaluationError
    from evaluation.harness.tasks import obtain
    from evaluation.published.folder import DATA_DIR, is_here
    from evaluation.suites import load_suite

    if spec.get("data_dir"):
        os.environ[DATA_DIR] = spec["data_dir"]
    suite = load_suite(spec["suite"])
    files = {file.published: file for file in suite.task_files().values() if file.published}
    absent = [name for name in suite.data if name in files and not is_here(name)]
    got: list[str] = []
    missing: dict[str, str] = {}
    for number, name in enumerate(absent):
        yield {"kind": "stage", "stage": f"Getting {name}"}
        yield {"kind": "progress", "stage": f"Getting {name}", "done": number,
               "total": len(absent), "unit": "files"}  # fmt: skip
        try:
            obtain(files[name])
            got.append(name)
        except EvaluationError as error:
            text = str(error)
            missing[name] = text
            yield {"kind": "warning", "text": text[:1].upper() + text[1:] + "."}
    if missing and not got:
        text = next(iter(missing.values()))
        raise JobError(text[:1].upper() + text[1:] + ".", exit_code=1)
    yield {"kind": "result", "got": got, "missing": sorted(missing)}
