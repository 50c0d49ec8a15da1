"""What every merge method must do; a new method is in here by being registered."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any

import pytest
import torch

from merging.methods import METHODS
from merging.methods.registry import Method
from tests.merging.whole import merge

SHAPES = [(), (1,), (7,), (5, 3), (2, 3, 4)]
NAMES = sorted(METHODS)


def count(method: Method) -> int:
    return method.min_models if method.max_models is not None else max(3, method.min_models)


def declared(name: str) -> set[str]:
    """Inputs and options of a method."""
    return {*METHODS[name].takes, *METHODS[name].options.model_fields}


def sample(
    name: str, shape: tuple[int, ...], *, equal: bool = False, seed: int = 0
) -> dict[str, Any]:
    """Base and models for a method; `equal` makes every model the base."""
    method = METHODS[name]
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(shape, generator=generator)
    models = [
        base.clone() if equal else base + 0.1 * torch.randn(shape, generator=generator)
        for _ in range(count(method))
    ]
    return {"base": base if method.needs_base == "required" else None, "models": models}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_same_shape_and_dtype_and_finite(name: str, shape: tuple[int, ...]) -> None:
    merged = merge(name, **sample(name, shape))
    assert merged.shape == torch.Size(shape)
    assert merged.dtype == torch.float32
    assert merged.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_inputs_are_left_alone(name: str) -> None:
    given = sample(name, (33,))
    before = [tensor.clone() for tensor in given["models"]]
    base = None if given["base"] is None else given["base"].clone()
    merge(name, **given)
    assert all(now.equal(then) for now, then in zip(given["models"], before, strict=True))
    assert base is None or given["base"].equal(base)


@pytest.mark.parametrize("name", NAMES)
def test_models_equal_to_the_base_give_the_base(name: str) -> None:
    given = sample(name, (50, 7), equal=True)
    torch.testing.assert_close(merge(name, **given), given["models"][0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if METHODS[name].needs_base == "required"])
def test_models_equal_to_the_base_give_its_very_bits(name: str) -> None:
    given = sample(name, (50, 7), equal=True)
    assert merge(name, **given).equal(given["base"])


@pytest.mark.parametrize("name", [name for name in NAMES if {"base", "scale"} <= declared(name)])
def test_scale_zero_gives_the_base(name: str) -> None:
    given = sample(name, (50, 7))
    assert merge(name, **given, scale=0.0).equal(given["base"])


@pytest.mark.parametrize("name", NAMES)
def test_chunks_give_the_bits_of_the_whole(name: str) -> None:
    given = sample(name, (1000,))
    whole = merge(name, **given)
    for chunk in (1, 7, 64, 333, 999):
        assert merge(name, **given, chunk=chunk).equal(whole), chunk
    given = sample(name, (20, 50))
    whole = merge(name, **given)
    for chunk in (1, 63, 200, 999):
        assert merge(name, **given, chunk=chunk).equal(whole), chunk


@pytest.mark.parametrize("name", [name for name in NAMES if not METHODS[name].ordered])
def test_order_does_not_matter(name: str) -> None:
    given = sample(name, (400,))
    weights = [1.0, 0.5, 0.25][: len(given["models"])]
    keys = [11, 22, 33][: len(given["models"])]
    first = merge(name, **given, weights=weights, keys=keys)
    turned = merge(
        name,
        given["base"],
        given["models"][::-1],
        weights[::-1],
        keys=keys[::-1],
    )
    torch.testing.assert_close(first, turned, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if METHODS[name].ordered])
def test_order_matters_where_it_is_declared(name: str) -> None:
    given = sample(name, (40,))
    option = {"slerp": {"t": 0.25}, "instruction_residual": {"alpha": 0.25}}[name]
    turned = merge(name, given["base"], given["models"][::-1], **option)
    assert not merge(name, **given, **option).allclose(turned)


@pytest.mark.parametrize("name", [name for name in NAMES if METHODS[name].needs_base == "optional"])
def test_an_optional_base_makes_it_a_merge_of_task_vectors(name: str) -> None:
    given = sample(name, (40,))
    base = torch.randn(40, generator=torch.Generator().manual_seed(9))
    deltas = [model - base for model in given["models"]]
    merged = merge(name, base, given["models"])
    torch.testing.assert_close(merged, base + merge(name, None, deltas))
    assert not merged.allclose(merge(name, None, given["models"]))
    assert merge(name, base, [base.clone() for _ in deltas]).equal(base)


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_parents_stay_near_the_float64_reference(name: str) -> None:
    """Computed from bfloat16 parents in float32, the result differs by float32 rounding only."""
    from tests.merging.reference import REFERENCES

    given = sample(name, (2000,))
    rounded = [model.bfloat16() for model in given["models"]]
    base = None if given["base"] is None else given["base"].bfloat16()
    merged = merge(name, base, rounded)
    expected = REFERENCES[name](
        None if base is None else base.double().numpy(),
        [model.double().numpy() for model in rounded],
        [1.0] * len(rounded),
    )
    torch.testing.assert_close(merged.double(), torch.from_numpy(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_is_described(name: str) -> None:
    method = METHODS[name]
    assert method.title and method.summary.endswith(".") and len(method.summary) < 120
    assert len(method.when_to_use) > 20
    assert "Formula: " in method.doc
    assert re.fullmatch(r"\d{4}\.\d{5}|", method.paper)
    assert not method.paper or f"arXiv:{method.paper}" in method.doc
    for field in method.fields():
        assert field.title and field.help.endswith("."), field.name
        if field.kind in ("float", "int"):
            assert field.minimum is not None and field.maximum is not None and field.step
            assert field.minimum <= field.default <= field.maximum
        if field.kind == "choice":
            assert field.default in field.choices


@pytest.mark.parametrize("name", NAMES)
def test_tensor_arguments_say_shape_and_dtype(name: str) -> None:
    import inspect

    source = inspect.getsource(METHODS[name].function)
    for taken in METHODS[name].takes:
        line = next(line for line in source.splitlines() if line.strip().startswith(f"{taken}:"))
        assert "#" in line, line
        assert "Tensor" not in line or "[n] float32" in line, line


@pytest.mark.parametrize("name", NAMES)
def test_what_belongs_together_is_entries_rows_or_the_tensor(name: str) -> None:
    method = METHODS[name]
    expected = 60 if method.whole_tensor else 5 if method.by_rows else 1
    assert method.together((3, 4, 5)) == expected
    assert method.together(()) == 1
    assert method.together((7, 0)) == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_choice_merges_and_is_no_other_choice(name: str) -> None:
    given = sample(name, (12, 10))
    for field in METHODS[name].fields():
        if field.kind == "choice":
            merged = [merge(name, **given, **{field.name: choice}) for choice in field.choices]
            assert all(one.isfinite().all() for one in merged)
            assert not any(one.equal(two) for one, two in combinations(merged, 2)), field.name
