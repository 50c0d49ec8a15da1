"""The harness's groups and tags as the tasks they stand for, with how their scores are joined.

The rules are lm-eval's: a tag is its tasks; a group is its members in order, each with what the
group says beside its own YAML, and may say how the members' scores make one (every item or every
task counting once). Member lists are read from the group's own file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluation.harness.catalogue import Catalogue, tasks_folder

GROUP_KEYS = frozenset({"group", "group_alias", "task", "aggregate_metric_list", "metadata",
                        "include", "tag", "task_list"})  # fmt: skip
_DEEPEST = 8

Read = Callable[[Path], Mapping[str, Any]]


@dataclass(frozen=True)
class Leaf:
    """One task of the harness's, as a group or the user asks for it.

    Attributes:
        name: under which it is scored.
        path: its YAML; None for a task that stands in the group's own file.
        overrides: what its group says beside its YAML.
        root: the name that was asked for and led to it.
        python: written in Python.
    """

    name: str
    path: Path | None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    root: str = ""
    python: bool = False


@dataclass(frozen=True)
class GroupScore:
    """How a group's members make one score.

    Attributes:
        name: of the group.
        members: its tasks.
        metric: of the members.
        weight_by_size: every item counts once; False: every task counts once.
    """

    name: str
    members: tuple[str, ...]
    metric: str
    weight_by_size: bool


class Unknown(Exception):
    """A name that the catalogue does not have."""


def expand(name: str, catalogue: Catalogue, read: Read) -> tuple[list[Leaf], list[GroupScore]]:
    """The tasks behind a name, in order, and the scores its groups have.

    Args:
        name: of a task, a group or a tag.
        catalogue: where it is looked up.
        read: reads a group's YAML with its includes.

    Raises:
        Unknown: the catalogue does not have the name, or a member's.
    """
    leaves: dict[str, Leaf] = {}
    scores: list[GroupScore] = []
    _Expansion(catalogue, read, name, leaves, scores).add(name, {}, 0)
    return list(leaves.values()), scores


@dataclass
class _Expansion:
    catalogue: Catalogue
    read: Read
    root: str
    leaves: dict[str, Leaf]
    scores: list[GroupScore]

    def add(self, name: str, overrides: Mapping[str, Any], depth: int) -> list[str]:
        """Add what a name stands for; returns the names of its tasks."""
        entry = self.catalogue.entries.get(name)
        if entry is None or depth > _DEEPEST:
            raise Unknown(name)
        if entry.kind == "tag":
            return [t for member in entry.members for t in self.add(member, overrides, depth + 1)]
        folder = tasks_folder()
        path = (folder / entry.path) if folder else Path(entry.path)
        if entry.kind == "group":
            return self._group(name, self.read(path), overrides, depth)
        return self._leaf(Leaf(name, path, dict(overrides), self.root, entry.kind == "python"))

    def _leaf(self, leaf: Leaf) -> list[str]:
        self.leaves[leaf.name] = leaf
        return [leaf.name]

    def _group(
        self, name: str, config: Mapping[str, Any], overrides: Mapping[str, Any], depth: int
    ) -> list[str]:
        said = {key: value for key, value in config.items() if key not in GROUP_KEYS}
        merged = {**said, **overrides}
        members = config.get("task")
        tasks: list[str] = []
        for item in members if isinstance(members, list) else []:
            tasks += self._member(name, item, merged, depth)
        for metric in _metrics(config):
            self.scores.append(
                GroupScore(name, tuple(dict.fromkeys(tasks)), str(metric["metric"]),
                           bool(metric.get("weight_by_size", True)))
            )  # fmt: skip
        return tasks

    def _member(self, group: str, item: Any, overrides: dict[str, Any], depth: int) -> list[str]:
        if isinstance(item, str):
            return self.add(item, overrides, depth + 1)
        if "group" in item:
            name = str(item["group"])
            if name in self.catalogue.entries:
                inline = {key: value for key, value in item.items() if key != "group"}
                return self.add(name, {**overrides, **inline}, depth + 1)
            return self._group(f"{group}::{name}", item, overrides, depth + 1)
        name = str(item["task"])
        inline = {**overrides, **{key: value for key, value in item.items() if key != "task"}}
        if name in self.catalogue.entries:
            return self.add(name, inline, depth + 1)
        return self._leaf(Leaf(f"{group}::{name}", None, inline, self.root))


def _metrics(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = config.get("aggregate_metric_list") or []
    listed = listed if isinstance(listed, list) else [listed]
    return [one for one in listed if isinstance(one, Mapping) and "metric" in one]
