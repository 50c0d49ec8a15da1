"""Which suite somebody asks for: a suite, lm-eval's tasks by name, and settings of one run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

_AWKWARD = set(',={}"@\n')


def compose(
    suite: str | None, tasks: str | None, given: Sequence[str] | Mapping[str, Any] = ()
) -> tuple[str, list[str] | None]:
    """What ``evaluation.suites.load_suite`` takes, and which of the suite's tasks are meant.

    Args:
        suite: name or path; None for lm-eval's own tasks.
        tasks: names with commas between them; of the suite's where one is named, else of
            lm-eval's tasks, groups and tags.
        given: settings of this run, ``key=value`` each, or a mapping.

    Raises:
        SuiteError: neither a suite nor a task, or something that is not ``key=value``.
    """
    from evaluation.errors import SuiteError
    from evaluation.suites.settings import read_value

    names = [name.strip() for name in (tasks or "").split(",") if name.strip()]
    if suite is None and not names:
        raise SuiteError("Say what to score on: --suite NAME, or --tasks with lm-eval's names.")
    ref = suite if suite is not None else "tasks:" + "+".join(names)
    settings: dict[str, Any] = {}
    for one in [] if isinstance(given, Mapping) else given:
        key, equals, value = one.partition("=")
        if not equals or not key.strip():
            raise SuiteError(f"--set takes key=value, such as num_fewshot=5, not {one!r}.")
        settings[key.strip()] = read_value(key.strip(), value)
    settings |= dict(given) if isinstance(given, Mapping) else {}
    return ref + _told(settings), names if suite is not None and names else None


def prompt_versions() -> tuple[str, ...]:
    """Those of the Japanese financial harness."""
    from evaluation.published.prompt_versions import VERSIONS

    return VERSIONS


def _told(settings: Mapping[str, Any]) -> str:
    """Settings behind a suite's name: plain where they can be, else as JSON."""
    if not settings:
        return ""
    plain = {key: _plain(value) for key, value in sorted(settings.items())}
    if any(_AWKWARD & set(text) for text in plain.values()):
        return "@" + json.dumps(dict(sorted(settings.items())), ensure_ascii=False)
    return "@" + ",".join(f"{key}={text}" for key, text in plain.items())


def _plain(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
