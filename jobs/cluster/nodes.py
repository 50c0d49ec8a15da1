"""The slots of a cluster as nodes come and go: who is there, and who may be given a job."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from db import settings
from jobs.cluster import places, seat
from jobs.cluster.places import Node

SOON_SECONDS = 0.1  # while a slot is being made
LOOK_SECONDS = 1.0  # between two looks at who is there
AGAIN_SECONDS = 10.0  # until a node that could not run jobs is asked again
PASSED_ON = ("CRUCIBLE_JOB_KINDS", "CRUCIBLE_WARM", "CRUCIBLE_SMOKE", "CRUCIBLE_LAUNCHER",
             "CRUCIBLE_DATA_DIR", "HF_HOME", "HF_HUB_OFFLINE", "HF_ENDPOINT")  # fmt: skip


@dataclass
class Slot:
    """One slot: an actor on a node.

    Attributes:
        name: as the job list shows it.
        node: that it is on.
        cores: narrow jobs that it takes side by side.
        actor: Ray's handle.
        asked: answer to come of `Seat.facts`.
        ready: whether jobs may be sent there.
        shares_home: whether it sees the worker's home.
        host: name of its machine.
        born: by our own stopwatch.
    """

    name: str
    node: Node
    cores: int
    actor: Any
    asked: Any
    ready: bool = False
    shares_home: bool = False
    host: str = ""
    born: float = field(default_factory=time.monotonic)


class Nodes:
    """Keeps an actor for every slot of the cluster, in a thread of its own.

    Args:
        ray: the module, connected.
        say: told when a node comes, goes, or cannot run jobs.
    """

    def __init__(self, ray: Any, say: Callable[[str], None]) -> None:
        self._ray = ray
        self._say = say
        self._slots: dict[str, Slot] = {}
        self._resting: dict[str, float] = {}  # slots that are not asked again before a moment
        self._noted: list[Node] | None = None
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._given = _given()
        self._class = _actor_class(ray)
        self._thread = threading.Thread(target=self._watch, name="cluster", daemon=True)
        self._thread.start()

    def ready(self) -> list[Slot]:
        """The slots that take jobs now."""
        with self._lock:
            return [slot for slot in self._slots.values() if slot.ready]

    def get(self, name: str) -> Slot | None:
        """A slot that takes jobs, by name."""
        with self._lock:
            slot = self._slots.get(name)
            return slot if slot is not None and slot.ready else None

    def lose(self, slot: Slot) -> None:
        """A slot that does not answer any more: end it for certain; its node gets another one."""
        with self._lock:
            if self._slots.get(slot.name) is slot:
                del self._slots[slot.name]
                self._resting[slot.name] = time.monotonic() + LOOK_SECONDS
        self._end(slot)

    def close(self) -> None:
        """End all slots and whatever runs there."""
        self._done.set()
        self._thread.join(timeout=10.0)
        with self._lock:
            slots, self._slots = list(self._slots.values()), {}
        for slot in slots:
            self._end(slot)

    def _end(self, slot: Slot) -> None:
        with contextlib.suppress(Exception):
            self._ray.kill(slot.actor, no_restart=True)

    def _watch(self) -> None:
        answers = True
        while not self._done.is_set():
            try:
                self.look()
                answers = True
            except Exception as error:
                if answers:  # once
                    self._say(f"the cluster does not answer ({type(error).__name__}: {error})")
                answers = False
            self._done.wait(SOON_SECONDS if self._waiting() and answers else LOOK_SECONDS)

    def _waiting(self) -> list[Slot]:
        with self._lock:
            return [slot for slot in self._slots.values() if not slot.ready]

    def look(self) -> None:
        """Who is there? Slots for the new ones, none for those that have gone."""
        found = places.named(self._ray.nodes())
        if found != self._noted:
            places.note(found)
            self._noted = found
        nodes = {node.id: node for node in places.in_use(found)}
        with self._lock:
            gone = [slot for slot in self._slots.values() if slot.node.id not in nodes]
            for slot in gone:
                del self._slots[slot.name]
        for slot in gone:
            self._say(f"the node {slot.node.name} has gone")
            self._end(slot)
        for node in nodes.values():
            for name, options in wanted(node).items():
                resting = time.monotonic() < self._resting.get(name, 0.0)
                if name not in self._slots and not resting:
                    slot = self._start(name, node, options)
                    with self._lock:
                        self._slots[name] = slot
        for slot in self._waiting():
            self._ask(slot)

    def _start(self, name: str, node: Node, options: dict[str, float]) -> Slot:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node_id=node.id, soft=False)
        made = self._class.options(
            scheduling_strategy=there, max_restarts=0, max_concurrency=1000, **options
        )
        # Of the files as they are now, as the node reads them: they may have been updated since.
        code = seat.code_hash(Path(settings.PROJECT))
        actor = made.remote({**self._given, "code": code, "node": node.name})
        cores = node.cores if not node.gpus else 1
        return Slot(name, node, cores, actor, actor.facts.remote())

    def _ask(self, slot: Slot) -> None:
        """Has the actor got its place on the node, and can it run jobs?"""
        ready, _ = self._ray.wait([slot.asked], timeout=0)
        if not ready:
            return
        try:
            facts = self._ray.get(slot.asked)
            problem = facts["problem"]
        except Exception as error:
            facts, problem = {}, f"it has failed ({type(error).__name__})"
        if problem is None:
            slot.shares_home, slot.host = bool(facts["shares_home"]), str(facts["host"])
            slot.ready = True
            self._say(f"the slot {slot.name} takes jobs")
            return
        self._say(f"no jobs on {slot.name}: {problem}")
        self.lose(slot)
        self._resting[slot.name] = time.monotonic() + AGAIN_SECONDS


def wanted(node: Node) -> dict[str, dict[str, float]]:
    """The slots of a node, with what each asks of Ray: a GPU with its share of the cores, or all.

    A job on a CPU may use every core, so a node without GPUs is one slot.
    """
    if not node.gpus:
        return {f"{node.name}/cpu": {"num_cpus": node.cores}}
    cores = node.cores // node.gpus
    return {
        f"{node.name}/gpu:{index}": {"num_gpus": 1, "num_cpus": cores} for index in range(node.gpus)
    }


def _actor_class(ray: Any) -> Any:
    """The actor; its class is sent as it stands, so that a node without the project can say so."""
    import ray.cloudpickle as cloudpickle

    cloudpickle.register_pickle_by_value(seat)
    return ray.remote(seat.Seat)


def _given() -> dict[str, Any]:
    """What every slot is told; see `Seat`."""
    home = settings.home()
    token = secrets.token_hex(16)
    (home / "cluster-token").write_text(token, encoding="ascii")
    names = [name for name in PASSED_ON if name in os.environ]
    return {
        "project": str(settings.PROJECT),
        "home": str(home),
        "token": token,
        "environment": {name: os.environ[name] for name in names},
    }
