"""What a study takes and what it can tell, said before it starts.

Plain arithmetic on facts that somebody else has looked up: see `jobs.studies.planning`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evaluation.statistics import planning
from merging.wording import size
from studies.cost import (
    SMALL_PARAMETERS,
    Facts,
    lanes_for,
    memory,
    merge_seconds,
    score_seconds,
    start_seconds,
)
from studies.design import Design

__all__ = ["SMALL_PARAMETERS", "Facts", "Plan", "lanes_for", "plan", "reported", "searched"]


@dataclass(frozen=True)
class Plan:
    """What a study takes, and what it can tell. Differences are shares (0.1 is 10 points).

    Attributes:
        points: stage -> number of merges.
        done: of these, how many are scored already.
        parents: number of models that the study starts from.
        parents_scored: of these, how many are scored already under this configuration.
        tasks: number of tasks.
        items: of one model, over the tasks of which the number is known.
        unknown: tasks of which it is not.
        lanes: processes that merge and score at the same time.
        seconds_score: of one model, all tasks, on one lane; None where nothing is known.
        seconds_merge: of all merges together, on one lane.
        seconds: until everything is there.
        basis: what the seconds were taken from, in words.
        ram_bytes, vram_bytes: of all lanes; None where it does not apply or is not known.
        ram_free_bytes, vram_free_bytes: what is free.
        disk_bytes: 0, no checkpoint is written.
        choosing: what the items for choosing can tell; None without a split.
        reporting: what the items that are reported can tell.
        warnings: what is no obstacle, a sentence each.
    """

    points: Mapping[str, int]
    done: int
    parents: int
    parents_scored: int
    tasks: int
    items: int
    unknown: tuple[str, ...]
    lanes: int
    seconds_score: float | None
    seconds_merge: float | None
    seconds: float | None
    basis: str
    ram_bytes: int | None
    ram_free_bytes: int | None
    vram_bytes: int | None
    vram_free_bytes: int | None
    choosing: planning.Plan | None
    reporting: planning.Plan
    warnings: tuple[str, ...] = ()
    disk_bytes: int = 0

    @property
    def merges(self) -> int:
        """Merges of all stages."""
        return sum(self.points.values())

    @property
    def evaluations(self) -> int:
        """Models that are still to be scored, parents included."""
        return self.merges - self.done + self.parents - self.parents_scored

    @property
    def all_items(self) -> int:
        """Answers that are still to be had."""
        return self.evaluations * self.items

    def to_mapping(self) -> dict[str, Any]:
        """The plan as plain data."""
        told = {
            name: value
            for name, value in vars(self).items()
            if name not in ("choosing", "reporting", "points", "unknown", "warnings")
        }
        return {
            "points": dict(self.points),
            "merges": self.merges,
            "evaluations": self.evaluations,
            "all_items": self.all_items,
            **told,
            "unknown": list(self.unknown),
            "detectable": {
                "macro": self.reporting.mean,
                "tasks": dict(self.reporting.tasks),
                "items": dict(self.reporting.items),
            },
            "warnings": list(self.warnings),
        }


def plan(design: Design, facts: Facts, warnings: tuple[str, ...] = ()) -> Plan:
    """What a study takes and can tell.

    Args:
        design: of the study.
        facts: what is known of models, suite and machine.
        warnings: what a look at the models found.
    """
    known = {task: n for task, n in facts.items.items() if n is not None}
    points = design.counts()
    lanes = lanes_for(facts.n_parameters, facts, max(points.values(), default=1))
    n_parents = len(design.models)
    left = sum(points.values()) - facts.done + n_parents - len(facts.scored)
    score, basis = score_seconds(facts)
    merge = merge_seconds(design, facts)
    seconds = None
    if score is not None and merge is not None:
        # a process for each parent that is left, and the lanes of each stage
        processes = n_parents - len(facts.scored) + lanes * len(points)
        share = left / (n_parents + sum(points.values()))
        starting = processes * start_seconds(facts) if left else 0.0
        seconds = (left * score + share * merge + starting) / lanes
    ram, vram = memory(facts, lanes)
    return Plan(
        points=points,
        done=facts.done,
        parents=n_parents,
        parents_scored=len(facts.scored),
        tasks=len(facts.items),
        items=sum(known.values()),
        unknown=tuple(task for task, n in facts.items.items() if n is None),
        lanes=lanes,
        seconds_score=score,
        seconds_merge=merge,
        seconds=seconds,
        basis=basis,
        ram_bytes=ram,
        ram_free_bytes=facts.ram_free_bytes,
        vram_bytes=vram,
        vram_free_bytes=facts.vram_free_bytes,
        choosing=None if design.split is None else planning.plan(searched(design, facts.items)),
        reporting=planning.plan(reported(design, facts.items)),
        warnings=(*warnings, *_remarks(design, ram, vram, facts)),
    )


def reported(design: Design, items: Mapping[str, int | None]) -> dict[str, int | None]:
    """Task -> items that are reported on: all, or what the split leaves."""
    share = 1.0 if design.split is None else 1 - design.split.share
    return {task: None if n is None else round(n * share) for task, n in items.items()}


def searched(design: Design, items: Mapping[str, int | None]) -> dict[str, int | None]:
    """Task -> items for choosing; without a split all are."""
    if design.split is None:
        return dict(items)
    kept = reported(design, items)
    return {task: None if n is None else n - (kept[task] or 0) for task, n in items.items()}


def _remarks(design: Design, ram: int | None, vram: int | None, facts: Facts) -> tuple[str, ...]:
    """What a person should know before the start."""
    found = []
    for stage in design.merge_stages:
        for one in design.methods:
            if not one.allows(int(stage)):
                found.append(f"{one.method} takes another number of models than stage {stage} has: "
                             "that stage goes without it.")  # fmt: skip
    if design.split is None:
        found.append(
            "There is no split: what is best is chosen on the very items that are reported, and "
            "its score is flattered by that."
        )
    for wanted, free, what in (
        (ram, facts.ram_free_bytes, "memory"),
        (vram, facts.vram_free_bytes, "GPU memory"),
    ):
        if wanted is not None and free is not None and wanted > free:
            found.append(f"The study needs {size(wanted)} of {what}, and {size(free)} are free.")
    return tuple(found)
