"""Merges from a combined task vector have the bytes of merges made anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from merging.checkpoints.parents import open_parents
from merging.checkpoints.stored import torch_dtype
from merging.engine import pin
from merging.methods import METHODS as ALL
from merging.recipes.recipe import Recipe
from merging.streaming.program import Step, program
from merging.streaming.sinks import TensorSink
from merging.streaming.stream import merge_tensors
from studies.combined import METHODS, Combined, but_scale, reusable
from tests.merging.models import tuned, weights, write_model

SCALES = [0.0, 0.1, 0.3, 1.0, 1.3, 5.0]
PLENTY = 1 << 30


@pytest.fixture(scope="module", params=[torch.bfloat16, torch.float32], ids=["bf16", "f32"])
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Parents with zeros of both signs in the same and in different places."""
    folder = tmp_path_factory.mktemp("family")
    base = weights(1)
    for number, tensor in enumerate(base.values()):
        tensor.view(-1)[::7] = 0.0
        if number % 2:
            tensor.view(-1)[::14] = -0.0
    found = {"base": write_model(folder / "base", base, dtype=request.param)}
    for seed, name in enumerate(("finance", "math", "japanese"), 2):
        made = tuned(base, seed)
        for key, tensor in made.items():
            tensor.view(-1)[::3] = base[key].view(-1)[::3]
            tensor.view(-1)[seed::11] = -0.0
        found[name] = write_model(folder / name, made, dtype=request.param)
    return found


def recipe_of(method: str, scale: Any, models: int = 3, **more: Any) -> Recipe:
    listed = [{"model": one} for one in ("finance", "math", "japanese")[:models]]
    if "weights" in more:
        for one, weight in zip(listed, more.pop("weights"), strict=True):
            one["weight"] = weight
    return Recipe(method=method, base="base", models=listed, seed=more.pop("seed", 5),
                  options={"scale": scale, **more})  # fmt: skip


@contextmanager
def steps_of(family: dict[str, Path], *given: Any, **more: Any) -> Iterator[list[Step]]:
    with open_parents(recipe_of(*given, **more), family) as opened:
        yield program(pin(opened))


def room(steps: list[Step]) -> dict[str, torch.Tensor]:
    return {
        step.name: torch.full(step.output.shape, 9.0, dtype=torch_dtype(step.output.dtype))
        for step in steps
    }


def bits(tensors: dict[str, torch.Tensor]) -> dict[str, bytes]:
    return {
        name: tensor.contiguous().view(torch.uint8).numpy().tobytes()
        for name, tensor in tensors.items()
    }


def compare(family: dict[str, Path], method: str, **more: Any) -> Combined:
    """Every scale from one combined task vector, against a merge made anew."""
    with steps_of(family, method, 0.7, **dict(more)) as first:
        combined = Combined(first, most_bytes=PLENTY)
        list(combined.fill())
    for scale in SCALES:
        with steps_of(family, method, scale, **dict(more)) as steps:
            ours, anew = room(steps), room(steps)
            list(combined.merge(steps, TensorSink(ours)))
            list(merge_tensors(steps, TensorSink(anew)))
        assert bits(ours) == bits(anew), scale
    return combined


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_to_the_byte(method: str, family: dict[str, Path]) -> None:
    combined = compare(family, method)
    assert combined.useful and combined.n_bytes > 0


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("task_arithmetic", {"models": 1, "weights": [-0.7]}),
        ("task_arithmetic", {"normalize": True, "weights": [0.2, 1.1, -0.4]}),
        ("ties", {"density": 1.0}),
        ("ties", {"election_weights": True, "normalize": False, "weights": [0.5, -1.5, 1.0]}),
        ("dare_ties", {"density": 0.3, "models": 1}),
        ("dare_ties", {"density": 0.7, "rescale": "none"}),
        ("dare_linear", {"density": 0.3, "rescale": "l1"}),
        ("breadcrumbs", {"density": 0.4, "gamma": 0.2}),
        ("della", {"density": 0.4, "epsilon": 0.2, "rescale": "l1"}),
        ("della_linear", {"rescale": "none", "models": 2}),
    ],
)
def test_options_to_the_byte(method: str, options: dict[str, Any], family: dict[str, Path]) -> None:
    compare(family, method, **options)


def test_a_factor_that_is_known_too_late_is_not_parted(family: dict[str, Path]) -> None:
    with steps_of(family, "dare_ties", 1.0, rescale="l1") as steps:
        assert not any(map(reusable, steps))
        combined = Combined(steps, most_bytes=PLENTY)
    assert not combined.useful
    compare(family, "dare_ties", rescale="l1")


def test_every_method_with_a_scale_on_a_base_is_known() -> None:
    """A new method is either held to the byte above, or left out here on purpose."""
    scaled = {
        name for name, method in ALL.items()
        if "scale" in method.options.model_fields and method.needs_base == "required"
    }  # fmt: skip
    assert scaled == METHODS


def test_only_the_scale_may_differ() -> None:
    first = but_scale(recipe_of("dare_ties", 1.0, density=0.5))
    assert first == but_scale(recipe_of("dare_ties", 0.3, density=0.5))
    for more in ({"density": 0.4}, {"seed": 6}, {"models": 2}, {"normalize": False}):
        assert first != but_scale(recipe_of("dare_ties", 1.0, **{"density": 0.5, **more}))


def test_nothing_is_kept_beyond_the_memory_allowed(family: dict[str, Path]) -> None:
    with steps_of(family, "ties", 0.5) as steps:
        combined = Combined(steps, most_bytes=1000)
        list(combined.fill())
        assert (combined.useful, combined.n_bytes) == (False, 0)
        ours, anew = room(steps), room(steps)
        list(combined.merge(steps, TensorSink(ours)))
        list(merge_tensors(steps, TensorSink(anew)))
    assert bits(ours) == bits(anew)
