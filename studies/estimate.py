"""What a study takes and what it can tell, said before it starts.

Plain arithmetic on facts that somebody else has looked up: see `jobs.studies.planning`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evaluation.statistics import planning
from merging.planning.fit import SECONDS_PER_BYTE, SECONDS_PER_ELEMENT
from merging.wording import size
from studies.design import Design
from studies.grids import INSTRUCT_METHOD, MethodGrid
from studies.stages import INSTRUCT

# two processes score small models faster than one with two threads: the work is all overhead
SMALL_PARAMETERS = 20_000_000
SMALL_LANES = 2
# a process with torch, transformers and the harness, prompts of a suite included (measured)
PROCESS_BYTES = 600_000_000
# parameters times items a second, where nothing like it was ever scored here: about 150 tokens an
# item, two operations a parameter and token, at a share of the peak that such work reaches
RATE_CPU = 3e8
RATE_GPU = 1e11
LEAST_SECONDS_AN_ITEM = 0.002
# a measured time says little about a model of another order of size
LIKE = 30.0
DEFAULT_SECONDS_PER_ELEMENT = 5e-9


@dataclass(frozen=True)
class Facts:
    """What is known of models, suite and machine.

    Attributes:
        items: task -> items that are asked (the limit applied); None where nobody knows yet.
        n_parameters: of the base; None where it is not on this machine.
        file_bytes: size of its weights on the disk.
        model_bytes: size of a model in memory, in the type it is scored in.
        scored: the models ("base", domains, "instruct") that are scored already.
        task_seconds: task -> seconds that a model like these took for these items here.
        seconds_an_item: of a model of another size or another suite, as measured here.
        measured_parameters: of that model.
        device: "cpu" or "cuda".
        cores: CPU cores of this machine.
        ram_free_bytes: free memory.
        vram_free_bytes: of the GPU; None without one.
        done: points of the study that are scored already.
    """

    items: Mapping[str, int | None]
    n_parameters: int | None = None
    file_bytes: int | None = None
    model_bytes: int | None = None
    scored: frozenset[str] = frozenset()
    task_seconds: Mapping[str, float] = field(default_factory=dict)
    seconds_an_item: float | None = None
    measured_parameters: int | None = None
    device: str = "cpu"
    cores: int = 1
    ram_free_bytes: int | None = None
    vram_free_bytes: int | None = None
    done: int = 0


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
    lanes = lanes_for(facts.n_parameters, facts.device, facts.cores)
    points = design.counts()
    n_parents = len(design.models)
    left = sum(points.values()) - facts.done + n_parents - len(facts.scored)
    score, basis = _score_seconds(facts)
    merge = _merge_seconds(design, facts)
    seconds = None
    if score is not None and merge is not None:
        seconds = (left * score + merge) / lanes + start_seconds(facts)
    ram, vram = _memory(facts, lanes)
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


def lanes_for(n_parameters: int | None, device: str, cores: int) -> int:
    """How many processes merge and score at the same time."""
    small = n_parameters is not None and n_parameters < SMALL_PARAMETERS
    return min(SMALL_LANES, cores) if small and device == "cpu" else 1


def start_seconds(facts: Facts) -> float:
    """Until a process has imported everything and holds its model."""
    return 5.0 + 2 * (facts.file_bytes or 0) * SECONDS_PER_BYTE


def _score_seconds(facts: Facts) -> tuple[float | None, str]:
    """Seconds of one model on one lane, and where they are from."""
    items = {task: n for task, n in facts.items.items() if n}
    if not items:
        return None, "how many items the suite has is known after its first run"
    same = {task: facts.task_seconds[task] for task in items if task in facts.task_seconds}
    if same:
        per_item = sum(same.values()) / sum(items[task] for task in same)
        rest = sum(n for task, n in items.items() if task not in same)
        return sum(same.values()) + per_item * rest, "measured: such models on these tasks here"
    if facts.n_parameters is None:
        return None, "how large the models are is known when they are on this machine"
    n = sum(items.values())
    if facts.seconds_an_item is not None and facts.measured_parameters:
        ratio = facts.n_parameters / facts.measured_parameters
        if 1 / LIKE < ratio < LIKE:
            factor = max(1.0, ratio)  # a smaller model is bound by its overhead
            return n * facts.seconds_an_item * factor, "from other scores here, by size"
    rate = RATE_GPU if facts.device == "cuda" else RATE_CPU * facts.cores
    per_item = max(LEAST_SECONDS_AN_ITEM, facts.n_parameters / rate)
    return n * per_item, "a rough guess: nothing like it was scored on this machine yet"


def _merge_seconds(design: Design, facts: Facts) -> float | None:
    """Seconds of all merges on one lane, each reading all of its parents."""
    if facts.n_parameters is None or facts.file_bytes is None:
        return None
    parallel = 10 if facts.device == "cuda" else facts.cores
    total = 0.0
    for stage, n_points in design.counts().items():
        shares = _methods(design, stage)
        n_models = 2 if stage == INSTRUCT else int(stage)
        reading = (n_models + 1) * facts.file_bytes * SECONDS_PER_BYTE
        whole = sum(n for _, n in shares) or 1
        for method, n in shares:
            per_element = SECONDS_PER_ELEMENT.get(method, DEFAULT_SECONDS_PER_ELEMENT)
            computing = per_element * facts.n_parameters * n_models / parallel
            total += n_points * n / whole * (reading + computing)
    return total


def _methods(design: Design, stage: str) -> list[tuple[str, int]]:
    """The methods of a stage, each with its number of points per combination of models."""
    if stage == INSTRUCT:
        return [(INSTRUCT_METHOD, 1)]
    usable = [one for one in design.methods if one.allows(int(stage))]
    return [(one.method, _per_combination(design, one, stage)) for one in usable]


def _per_combination(design: Design, one: MethodGrid, stage: str) -> int:
    return len(one.all_seeds) * (1 if design.is_carried(stage) else one.n_combinations)


def _memory(facts: Facts, lanes: int) -> tuple[int | None, int | None]:
    """Main and GPU memory of all lanes: the model, and a combined task vector in float32."""
    if facts.model_bytes is None or facts.n_parameters is None:
        return None, None
    held = facts.model_bytes + 4 * facts.n_parameters
    if facts.device == "cuda":
        return lanes * PROCESS_BYTES, lanes * held
    return lanes * (PROCESS_BYTES + held), None


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
