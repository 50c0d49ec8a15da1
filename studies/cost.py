"""What merging and scoring take of a machine: processes, seconds, memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from merging.planning.fit import SECONDS_PER_BYTE, SECONDS_PER_ELEMENT
from studies.design import Design
from studies.grids import INSTRUCT_METHOD
from studies.stages import INSTRUCT

# below this, a process for each core scores faster than one with all cores: it is all overhead
SMALL_PARAMETERS = 20_000_000
MOST_LANES = 8
# a process with torch, transformers and the harness, prompts of a suite included (measured)
PROCESS_BYTES = 600_000_000
START_SECONDS = 4.0
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
        gpus: number of GPUs that may be used.
        cores: CPU cores of this machine.
        ram_free_bytes: free memory.
        vram_free_bytes: of the GPU; None without one.
        done: points of the study that are scored already.
        most_lanes: processes at a time; a cluster has no such limit.
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
    gpus: int = 1
    cores: int = 1
    ram_free_bytes: int | None = None
    vram_free_bytes: int | None = None
    done: int = 0
    most_lanes: int = MOST_LANES


def lanes_for(n_parameters: int | None, facts: Facts, most: int) -> int:
    """How many processes merge and score at the same time; the rule of `jobs.studies.submit`.

    Args:
        n_parameters: of the models.
        facts: of the machine.
        most: points of the largest stage.
    """
    if facts.device == "cuda":
        return max(1, min(facts.gpus, facts.most_lanes))
    small = n_parameters is not None and n_parameters < SMALL_PARAMETERS
    return max(1, min(facts.cores, facts.most_lanes, most)) if small else 1


def start_seconds(facts: Facts) -> float:
    """Until a process has imported everything, holds its model and has its kernels ready."""
    return START_SECONDS + 2 * (facts.file_bytes or 0) * SECONDS_PER_BYTE


def score_seconds(facts: Facts) -> tuple[float | None, str]:
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


def merge_seconds(design: Design, facts: Facts) -> float | None:
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
    return [
        (one.method, len(one.all_seeds) * (1 if design.is_carried(stage) else one.n_combinations))
        for one in usable
    ]


def memory(facts: Facts, lanes: int) -> tuple[int | None, int | None]:
    """Main and GPU memory of all lanes: the model, and a combined task vector in float32."""
    if facts.model_bytes is None or facts.n_parameters is None:
        return None, None
    held = facts.model_bytes + 4 * facts.n_parameters
    if facts.device == "cuda":
        return lanes * PROCESS_BYTES, lanes * held
    return lanes * (PROCESS_BYTES + held), None
