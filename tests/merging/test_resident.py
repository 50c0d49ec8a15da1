"""Parents that stay in memory: the same bits as from the disk, and nothing computed twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from merging.checkpoints.parents import open_parents
from merging.checkpoints.stored import torch_dtype
from merging.engine import merge_to_folder, pin
from merging.methods import METHODS
from merging.recipes.recipe import Recipe
from merging.resident import Resident
from merging.streaming.program import Step, program
from tests.merging.models import finish, stored


def recipe_for(method: str, **options: Any) -> Recipe:
    listed = [{"model": "finance"}, {"model": "math"}, {"model": "instruct", "role": "instruct"}]
    declared = METHODS[method]
    if declared.max_models is not None:
        listed = listed[-declared.max_models :]
    return Recipe(
        method=method,
        base=None if declared.needs_base == "forbidden" else "base",
        models=listed,
        options=options,
    )


@contextmanager
def steps_of(recipe: Recipe, family: dict[str, Path]) -> Iterator[list[Step]]:
    with open_parents(recipe, family) as opened:
        yield program(pin(opened))


def room(steps: list[Step]) -> dict[str, torch.Tensor]:
    return {
        step.name: torch.full(step.output.shape, 9.0, dtype=torch_dtype(step.output.dtype))
        for step in steps
    }


@pytest.mark.parametrize("method", sorted(METHODS))
def test_the_bits_of_a_merge_from_disk(
    method: str, family: dict[str, Path], tmp_path: Path
) -> None:
    recipe = recipe_for(method)
    _, out = finish(merge_to_folder(recipe, family, tmp_path / "out"))
    with steps_of(recipe, family) as steps:
        resident = Resident(steps, "cpu")
        found = [room(steps), resident.room(steps)]
        for outputs in found:
            resident.merge(steps, outputs)
        assert resident.n_bytes == sum(
            view.parent.tensors[view.name].n_bytes  # type: ignore[attr-defined]
            for view in {view for step in steps for view in (*step.models, step.base) if view}
        )
    for name, tensor in stored(out).items():
        assert all(torch.equal(outputs[name], tensor) for outputs in found), name


def test_everything_goes_through_one_kernel_where_it_may(
    family: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real = type(METHODS["ties"]).apply

    def counting(self: Any, inputs: Any, options: Any) -> Any:
        calls.append(self.name)
        return real(self, inputs, options)

    monkeypatch.setattr(type(METHODS["ties"]), "apply", counting)
    varied = [{"filter": "mlp", "value": 0.5}, {"value": 1.0}]
    for recipe, expected in (
        (recipe_for("task_arithmetic"), 1),
        (recipe_for("linear"), 1),
        (recipe_for("task_arithmetic", scale=varied), 21),
        (recipe_for("ties"), 21),
        (recipe_for("dare_linear"), 21),
    ):
        with steps_of(recipe, family) as steps:
            resident = Resident(steps, "cpu", fused=False)
            own, others = resident.room(steps), room(steps)
            calls.clear()
            resident.merge(steps, own)
            assert len(calls) == expected, recipe.method
            resident.merge(steps, others)
            assert len(calls) == expected + 21
            assert all(torch.equal(own[name], others[name]) for name in own)


def test_another_scale_needs_no_new_thresholds(
    family: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    observed: list[str] = []
    with steps_of(recipe_for("ties"), family) as steps:
        resident = Resident(steps, "cpu")
        real = type(METHODS["ties"]).observe

        def counting(self: Any, whole: Any, options: Any) -> Any:
            observed.append(self.name)
            return real(self, whole, options)

        monkeypatch.setattr(type(METHODS["ties"]), "observe", counting)
        for scale in (1.0, 0.5, 0.0):
            with steps_of(recipe_for("ties", scale=scale), family) as other:
                views = {(v.parent.label, v.name): v for s in steps for v in (*s.models, s.base)}
                same = [
                    Step(**{**vars(step), "base": views[step.base.parent.label, step.base.name],
                            "models": tuple(views[v.parent.label, v.name] for v in step.models)})
                    for step in other
                ]  # fmt: skip
                found[scale] = room(same)
                resident.merge(same, found[scale])
    assert len(observed) == len(steps)
    base = stored(family["base"])
    assert all(torch.equal(found[0.0][name], base[name]) for name in base)
    assert not torch.equal(found[1.0]["model.norm.weight"], found[0.5]["model.norm.weight"])


@pytest.mark.long
@pytest.mark.parametrize("method", ["task_arithmetic", "ties", "linear"])
def test_fused_kernels_agree_within_the_last_place(method: str, family: dict[str, Path]) -> None:
    """As on a GPU, here by the compiler for the CPU."""
    with steps_of(recipe_for(method), family) as steps:
        plain, fused = room(steps), room(steps)
        Resident(steps, "cpu", fused=False).merge(steps, plain)
        Resident(steps, "cpu", fused=True).merge(steps, fused)
    for name, tensor in plain.items():
        torch.testing.assert_close(fused[name], tensor, rtol=2**-7, atol=1e-6)
