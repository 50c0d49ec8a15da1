"""What the terminal shows of a model's health, and of a rebuild."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.errors import JobError
from jobs.terminal.show import say

MARKS = {"ok": "ok  ", "warn": "note", "bad": "BAD "}


def print_health(result: Mapping[str, Any]) -> None:
    """A line for each check.

    Raises:
        JobError: something is bad.
    """
    for check in result["checks"]:
        text = f"{check['detail']} {check['fix']}".strip()
        say(f"{MARKS.get(check['state'], '?')}  {check['title']}: {text}")
    bad = [check["title"] for check in result["checks"] if check["state"] == "bad"]
    if bad:
        raise JobError(f"{result['model']} is not in order: {', '.join(bad)}.", exit_code=1)


def print_rebuilt(result: Mapping[str, Any]) -> None:
    """Whether a merge is what its recipe makes.

    Raises:
        JobError: it is not.
    """
    if not result["same"]:
        raise JobError(str(result["text"]), exit_code=1)
    say(f"{result['text']} ({float(result['seconds']):.1f} s)")
