"""What a cluster has, as pages and submissions know it: a small file that the worker keeps.

Only the worker talks to Ray. Whoever wants to know how many lanes a study may have reads the file;
when no worker has written it yet, a process of its own has a look and writes it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from db import settings

FRESH_SECONDS = 120.0
LOOK_SECONDS = 60.0  # a look connects to the cluster, which takes some two seconds


@dataclass(frozen=True)
class Node:
    """A node of the cluster that takes jobs.

    Attributes:
        id: Ray's own.
        name: for people, unique in the cluster.
        gpus: whole GPUs, each of which takes a job.
        cores: whole CPUs that Ray may give out there.
    """

    id: str
    name: str
    gpus: int
    cores: int


def in_use(nodes: Sequence[Node]) -> list[Node]:
    """The nodes that take jobs: where one has GPUs, those with GPUs alone.

    Scores taken on a GPU and on a CPU differ in their number type and could not be compared.
    """
    with_gpus = [node for node in nodes if node.gpus]
    return with_gpus or [node for node in nodes if node.cores]


def lanes(nodes: Sequence[Node], *, small: bool, most: int) -> tuple[int, bool]:
    """How many lanes these nodes serve, and whether each lane takes a single core.

    Args:
        nodes: that take jobs.
        small: whether one core scores the models fastest.
        most: points of the largest stage.
    """
    gpus = sum(node.gpus for node in nodes)
    places = gpus or (sum(node.cores for node in nodes) if small else len(nodes))
    return max(1, min(places, most)), small and not gpus


def named(found: Iterable[Mapping[str, Any]]) -> list[Node]:
    """Nodes from what `ray.nodes()` says of them, the dead ones left out."""
    alive = sorted((one for one in found if one["Alive"]), key=lambda one: str(one["NodeID"]))
    names = [_name(one) for one in alive]
    nodes = []
    for name, one in zip(names, alive, strict=True):
        unique = name if names.count(name) == 1 else f"{name}-{str(one['NodeID'])[:6]}"
        has = one.get("Resources") or {}
        node = Node(str(one["NodeID"]), unique, int(has.get("GPU", 0)), int(has.get("CPU", 0)))
        nodes.append(node)
    return sorted(nodes, key=lambda node: node.name)


def note(nodes: Sequence[Node]) -> None:
    """Write down what there is."""
    path = _path()
    partial = path.with_suffix(".partial")
    said = {"address": settings.ray_address(), "nodes": [asdict(node) for node in nodes]}
    partial.write_text(json.dumps(said), encoding="utf-8")
    partial.replace(path)


def known() -> list[Node]:
    """The nodes that take jobs, as last written down for this address; empty when nobody did."""
    try:
        said = json.loads(_path().read_text(encoding="utf-8"))
        if said["address"] != settings.ray_address():
            return []
        return in_use([Node(**one) for one in said["nodes"]])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def looked_up() -> list[Node]:
    """The nodes that take jobs; another process has a look where nothing fresh is written down.

    Empty where the cluster cannot be asked now: the worker says why in its log.
    """
    try:
        age_seconds = time.time() - _path().stat().st_mtime
    except OSError:
        age_seconds = FRESH_SECONDS + 1
    nodes = known()
    if nodes and age_seconds < FRESH_SECONDS:
        return nodes
    try:
        subprocess.run(
            [sys.executable, "-m", "jobs.cluster.look"],
            cwd=settings.PROJECT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LOOK_SECONDS,
            check=True,
            env={**os.environ, **settings.absolute()},
        )
    except (OSError, subprocess.SubprocessError):
        return nodes
    return known()


def _name(one: Mapping[str, Any]) -> str:
    """What the node was called, else its host; Ray's own default is its address."""
    given = str(one.get("NodeName") or "")
    address = str(one.get("NodeManagerAddress") or "")
    host = str(one.get("NodeManagerHostname") or address)
    return (host if given in ("", address) else given) or "node"


def _path() -> Path:
    return settings.home() / "cluster.json"
