"""Search part and held-out part: choose on one, report on the other.

Whoever picks the best of many merges by their scores picks luck along with skill, and the winner's
score on those items is too high. So a score that is used for choosing (a sweep, a search, a study's
carry-over) is taken on the *search* part of every task, and what is reported on the *held-out*
part. Every score carries the stamp in its configuration; scores of different parts are never
compared or averaged.

The split is drawn once from a seed, over all tasks of a suite together: items about one source
document (``metadata.cluster`` of their task), and items of the same content, stay in one part,
whichever tasks they are in. It depends neither on the model nor on the limit, nor on which tasks
are asked, so a resumed run and the next model see the same parts.

Needs neither torch nor lm-eval.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from evaluation.errors import SuiteError

PartName = Literal["search", "held-out"]
ALL, SEARCH, HELD_OUT = "all", "search", "held-out"
NAMES = (ALL, SEARCH, HELD_OUT)
SPLIT_VERSION = 1
"""Raised when the same seed gives another split."""


@dataclass(frozen=True, slots=True)
class Part:
    """One of the two parts of a split.

    Attributes:
        name: of the part.
        seed: of the split.
        share: of the items that are for searching, between 0 and 1.
    """

    name: PartName
    seed: int = 1
    share: float = 0.5

    def stamp(self) -> dict[str, Any]:
        """What the configuration of a score says of it."""
        return {"part": self.name, "split_seed": self.seed, "split_share": self.share,
                "split_version": SPLIT_VERSION}  # fmt: skip

    @property
    def other(self) -> Part:
        """The items of the same split that are not in this part."""
        name: PartName = "held-out" if self.name == SEARCH else "search"
        return Part(name, self.seed, self.share)


def part(name: str = ALL, seed: int = 1, share: float = 0.5) -> Part | None:
    """The part of a name; None for all items.

    Raises:
        SuiteError: an unknown name, or a share that leaves one part empty.
    """
    if name not in NAMES:
        raise SuiteError(f"There is no part {name!r} of a suite; choose one of {', '.join(NAMES)}.")
    if not 0 < share < 1:
        raise SuiteError(f"The search part must have a share between 0 and 1 of the items, "
                         f"not {share:g}.")  # fmt: skip
    if name == ALL:
        return None
    return Part("search" if name == SEARCH else "held-out", int(seed), float(share))


def of_config(config: Mapping[str, Any]) -> Part | None:
    """The part that a score's configuration is stamped with; None for all items."""
    if config.get("part") not in (SEARCH, HELD_OUT):
        return None
    return part(config["part"], config.get("split_seed", 1), config.get("split_share", 0.5))


class Source(NamedTuple):
    """Where an item comes from: its content, and the document that it shares with others."""

    content: str
    cluster: str | None = None


def source(doc: Mapping[str, Any], cluster_field: str | None = None) -> Source:
    """The source of a document of a task.

    Args:
        doc: the document.
        cluster_field: ``metadata.cluster`` of its task: the field that names what it is about.
    """
    # An object without a JSON form (a picture) is known by its type alone: its address in memory
    # would be another one in every run.
    text = json.dumps(doc, sort_keys=True, ensure_ascii=False, default=lambda o: type(o).__name__)
    shared = doc.get(cluster_field) if cluster_field else None
    cluster = None if shared is None else f"{cluster_field}={shared}"
    return Source(hashlib.sha256(text.encode()).hexdigest(), cluster)


def split(tasks: Mapping[str, Sequence[Source]], seed: int, share: float) -> dict[str, list[bool]]:
    """Which items of each task are for searching; the others are held out.

    Groups of items that must stay together are taken in an order drawn from the seed, and each goes
    where it leaves its tasks closest to the share: every task is split alike (stratified), to the
    item where items stand alone.

    Args:
        tasks: task -> source of each of its items. The order of the tasks does not matter, and a
            task that shares no source with others is split in the same way without them.
        seed: of the split.
        share: of the items that are for searching.

    Returns:
        Task -> for each of its items, whether it is for searching.
    """
    group_of = _groups(tasks)
    members: dict[str, Counter[str]] = defaultdict(Counter)
    for task, sources in tasks.items():
        for one in sources:
            members[group_of[_key(one)]][task] += 1
    chosen: dict[str, bool] = {}
    taken: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for group in sorted(members, key=lambda name: _draw(seed, name)):
        counts = members[group]
        seen.update(counts)
        into = sum((taken[t] + n - share * seen[t]) ** 2 for t, n in counts.items())
        out = sum((taken[t] - share * seen[t]) ** 2 for t in counts)
        if abs(into - out) < 1e-9:  # both are as good: let the seed say
            chosen[group] = _draw(seed, f"tie {group}") % 2 == 0
        else:
            chosen[group] = into < out
        if chosen[group]:
            taken.update(counts)
    return {
        task: [chosen[group_of[_key(one)]] for one in sources] for task, sources in tasks.items()
    }


def _key(one: Source) -> str:
    return f"cluster {one.cluster}" if one.cluster is not None else f"content {one.content}"


def _groups(tasks: Mapping[str, Sequence[Source]]) -> dict[str, str]:
    """Name of a cluster or content -> name of what it must stay together with (union-find)."""
    above: dict[str, str] = {}

    def top(name: str) -> str:
        above.setdefault(name, name)
        while above[name] != name:
            above[name] = above[above[name]]
            name = above[name]
        return name

    for sources in tasks.values():
        for one in sources:
            first, second = top(_key(one)), top(f"content {one.content}")
            # The smaller name wins, so that the order of the items does not matter.
            above[max(first, second)] = min(first, second)
    return {name: top(name) for name in list(above)}


def _draw(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\0{name}".encode()).digest()[:8], "big")
