"""Names of merges, tasks and groups as a picture has room for them."""

from __future__ import annotations

from collections.abc import Sequence
from os.path import commonprefix

from merging.errors import MergingError
from merging.methods import get_method
from studies.results import Scored, Task

STAGES = {"1": "Stage 1", "2": "Stage 2", "3": "Stage 3", "instruct": "Instruct stage"}


def stage(name: str | None) -> str:
    """`Stage 1`, `Instruct stage`."""
    return STAGES.get(name or "", name or "")


def method(name: str) -> str:
    """A method's title; its name where it has gone since."""
    try:
        return get_method(name).title
    except MergingError:
        return name


def group(one: Scored) -> str:
    """What a merge merges: `base + finance`, `finance + math`."""
    point = one.point
    if point is None:
        return one.label
    if point.stage == "instruct":
        return one.label.rsplit(" + ", 1)[0] + " + instruct"
    return one.label.split(" · ", 1)[0]


def how(one: Scored) -> str:
    """How it merges them: `TIES, density 0.2, scale 1`, `0.5 × instruct`."""
    if one.point is None:
        return one.label
    if one.point.stage == "instruct":
        return one.label.rsplit(" + ", 1)[-1]
    return one.label.split(" · ", 1)[-1]


def tasks(some: Sequence[Task]) -> list[str]:
    """Task names without what all of them begin with, and without their domain in front."""
    prefix = commonprefix([one.name for one in some]) if len(some) > 1 else ""
    prefix = prefix[: prefix.rfind("_") + 1]
    found = []
    for one in some:
        name = one.name.removeprefix(prefix)
        rest = name.removeprefix(f"{one.domain}_")
        found.append((rest or name).replace("_", " "))
    return found
