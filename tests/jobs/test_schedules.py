"""What schedules mean for a model's parts, and how a merge's weights are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.engine import transaction
from db.queries import models as model_rows
from db.tables import Model
from jobs.models import anatomy, registry, weights
from jobs.terminal import listing
from merging.recipes.recipe import Recipe
from merging.recipes.slices import Slice

RECIPE = """
method: task_arithmetic
base: sandbox/base
models:
  - {model: sandbox/finance, weight: [0, 1]}
  - {model: sandbox/math, weight: 0.25}
"""


@pytest.fixture
def sandbox(home: Path) -> None:
    registry.ensure_sandbox()


def entered(text: str) -> model_rows.ModelRow:
    """A merge that was made by a recipe, as the registry has it."""
    with transaction() as opened:
        row = registry.add_row(opened, "merge", {"role": "merge", "source": ""})
        registry.enter_recipe(opened, row, Recipe.from_yaml(text))
    found = model_rows.model("merge")
    assert found is not None
    return found


def test_weights_are_those_of_the_recipe(sandbox: None) -> None:
    row = entered(RECIPE)
    assert weights.of_parents(row) == [None, [0.0, 1.0], 0.25]
    assert [weights.in_words(one) for one in weights.of_parents(row)] == [
        "", "weight 0 → 1", "weight 0.25"
    ]  # fmt: skip
    (listed,) = listing.models_data([row])
    assert [one["weight"] for one in listed["parents"]] == [None, [0.0, 1.0], 0.25]


def test_methods_without_weights_have_none(sandbox: None) -> None:
    row = entered("method: slerp\nmodels: [{model: sandbox/finance}, {model: sandbox/math}]")
    assert weights.of_parents(row) == [None, None]


def test_an_unreadable_recipe_leaves_what_the_table_says(sandbox: None) -> None:
    entered(RECIPE)
    with transaction() as opened:
        opened.query(Model).filter_by(name="merge").one().recipe_yaml = "method: gone\nmodels: []"
    row = model_rows.model("merge")
    assert row is not None and weights.of_parents(row) == [None, 1.0, 0.25]


def test_a_parent_that_is_not_known_here_shifts_no_weight(sandbox: None) -> None:
    text = RECIPE.replace("sandbox/finance", "somebody/elses")
    row = entered(text)
    assert [parent.name for parent in row.parents] == ["sandbox/base", "sandbox/math"]
    assert weights.of_parents(row) == [None, 0.25]


def test_the_curves_of_real_tensors(sandbox: None) -> None:
    body = anatomy.of_models(["nobody/nothing", "sandbox/finance"])
    assert (body.label, body.count) == ("sandbox/finance", 4)
    lines, points = anatomy.curves(body, [[{"filter": "mlp", "value": [0.0, 3.0]}], 9.0])
    of = {line.rests: line.values for line in lines}
    mlp = tuple(f"mlp.{name}_proj.weight" for name in ("down", "gate", "up"))
    assert of[mlp] == (0.0, 1.0, 2.0, 3.0)
    assert len(of) == 2 and set(of.values()) == {(0.0, 1.0, 2.0, 3.0), (9.0,) * 4}
    assert {(one.names, one.first, one.value) for one in points} == {
        (("model.embed_tokens.weight",), True, 9.0),
        (("model.norm.weight",), False, 9.0),
    }


def test_in_slices_a_gradient_begins_anew(sandbox: None) -> None:
    slices = [
        Slice.model_validate({"sources": [{"model": "a", "layers": layers}]})
        for layers in ((0, 3), (1, 4))
    ]
    body = anatomy.of_models(["sandbox/finance"], slices)
    assert body.count == 6
    lines, _ = anatomy.curves(body, [[0.0, 1.0]])
    assert [line.values for line in lines] == [(0.0, 0.5, 1.0, 0.0, 0.5, 1.0)]


def test_without_any_model_an_example_stands_in(home: Path) -> None:
    body = anatomy.of_models(["/no/such/folder", "org/model"])
    assert body.label is None and body.count == anatomy.EXAMPLE_LAYERS
