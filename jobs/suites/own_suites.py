"""Suites that the user makes in the app: a YAML file each in the home, like those that ship."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from jobs.errors import JobError
from jobs.models.names import folder as plain_name


def names() -> list[str]:
    """Names of the user's own suites."""
    from evaluation.suites import files as suite_files

    return list(suite_files.own())


def broken() -> dict[str, str]:
    """Those of the user's own suites that cannot be used, each with what is wrong."""
    from evaluation.errors import SuiteError
    from evaluation.suites import files as suite_files

    found: dict[str, str] = {}
    for name in names():
        try:
            suite_files.load(name)
        except SuiteError as error:
            found[name] = str(error)
    return found


def save(name: str, tasks: Sequence[str], settings: Mapping[str, Any]) -> str:
    """Keep a suite and return its name.

    Args:
        name: as typed; letters, digits, dots, dashes and underscores of it are kept.
        tasks: names of lm-eval's tasks, groups and tags.
        settings: those that were set.

    Raises:
        JobError: no name, a name that ships, or the file cannot be written.
        SuiteError: a task or a setting that there is not.
    """
    import yaml

    from evaluation.places import own_suites
    from evaluation.suites import files as suite_files

    title = " ".join(name.split())
    if not title:
        raise JobError("Give the suite a name, such as my-knowledge.")
    stem = plain_name(title)
    if stem in suite_files.shipped():
        raise JobError(f"A suite called {stem} ships already; give another name.")
    given = {key: value for key, value in settings.items() if value is not None}
    content = {"title": title, "tasks": list(tasks), "settings": given}
    path = own_suites() / f"{stem}.yaml"
    half = path.with_name(f".{stem}.{os.getpid()}.yaml.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
        half.write_text(text, encoding="utf-8")
        checked = half.with_suffix(".yaml")  # read as it will be, under a name nobody lists
        os.replace(half, checked)
        try:
            suite_files.load(str(checked))
        except BaseException:
            checked.unlink(missing_ok=True)
            raise
        os.replace(checked, path)
    except OSError as error:
        raise JobError(f"The suite cannot be kept in {path}: {error.strerror}.") from error
    return stem


def delete(name: str) -> None:
    """Delete one of the user's own suites; scores made on it stay.

    Raises:
        JobError: there is none of this name.
    """
    from evaluation.suites import files as suite_files

    path = suite_files.own().get(name)
    if path is None:
        raise JobError(f"There is no suite {name} of your own.")
    path.unlink(missing_ok=True)
