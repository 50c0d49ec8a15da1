"""Every kernel against the torch function of its method, to the bit."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from merging.kernels import KERNELS
from merging.methods import METHODS
from merging.recipes.checks import complete_options
from tests.merging.kernels.reference import Tensors, by_kernel, by_method, experts, same_bits

NAMES = sorted(KERNELS)
# options beside the defaults that take another way through a method
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "breadcrumbs": [{"density": 0.9, "gamma": 0.05}, {"density": 1.0}, {"normalize": True}],
    "breadcrumbs_ties": [{"density": 0.9, "gamma": 0.05}, {"density": 1.0, "scale": 0.6}],
    "della_linear": [{"rescale": "l1"}, {"rescale": "none", "epsilon": 0.0}, {"density": 0.9}],
    "della": [{"rescale": "l1", "scale": 0.7}, {"rescale": "none"}, {"density": 0.95}],
    "slerp": [{"t": 0.0}, {"t": 0.3}],
    "nuslerp": [],
    "multislerp": [{"normalize": False}],
    "karcher": [{"max_iter": 1}],
    "model_stock": [{"clamp": False}],
    "linear": [{"normalize": False}],
    "passthrough": [{"scale": 0.3}, {"scale": 0.0}],
    "task_arithmetic": [{"normalize": True}, {"scale": 0.7}, {"scale": 0.0}, {"normalize": True}],
    "instruction_residual": [{"alpha": 0.3}, {"expert_scale": 0.6}, {"expert_scale": 0.0}],
    "ties": [{"density": 1.0}, {"density": 0.01, "scale": 1.3}, {"density": 0.5}],
    "dare_linear": [
        {"density": 0.1, "scale": 0.7},
        {"density": 1.0, "normalize": True},
        {"rescale": "none"},
    ],
    "dare_ties": [
        {"rescale": "l1"},
        {"density": 0.1, "scale": 0.7},
        {"density": 1.0},
        {"rescale": "none"},
    ],
}
ELECTIONS = [
    {"election_weights": votes, "normalize": divides}
    for votes in (False, True)
    for divides in (False, True)
]


def counts(name: str) -> list[int]:
    """Numbers of models to try."""
    method = METHODS[name]
    return [k for k in (1, 2, 3, 4) if method.min_models <= k <= (method.max_models or 4)]


def variants(name: str) -> list[dict[str, Any]]:
    ways = [{}, *VARIANTS[name]]
    if "election_weights" in METHODS[name].options.model_fields:
        ways = [{**way, **how} for way in ways for how in ELECTIONS]
    return ways


def tensors_for(
    name: str,
    shape: int | tuple[int, ...],
    count: int,
    weights: list[float] | None = None,
    **how: Any,
) -> Tensors:
    method = METHODS[name]
    chunk, as_stored = how.pop("chunk", 1 << 16), how.pop("as_stored", False)
    base, models = experts(shape, count, **how)
    return Tensors(
        None if method.needs_base == "forbidden" else base,
        models,
        weights,
        chunk=chunk,
        by_rows=method.by_rows,
        as_stored=as_stored,
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["bfloat16", "float32", "bfloat16 as it is stored"])
def test_bits_are_those_of_the_method(name: str, form: str) -> None:
    how: dict[str, Any] = {"coarse": form != "float32", "as_stored": form.endswith("stored")}
    for count in counts(name):
        for way in variants(name):
            tensors = tensors_for(name, (37, 130), count, seed=count, chunk=1000, **how)
            assert same_bits(by_kernel(name, tensors, **way), by_method(name, tensors, **way)), way


WEIGHTS = [[0.3, -0.7, 1.1, 0.0], [0.0, 0.5, 0.25, 2.0], [-1.0, -0.1, -2.0, -0.3], [1 / 3] * 4]


@pytest.mark.parametrize("name", [name for name in NAMES if METHODS[name].uses_weights])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_bits_with_all_kinds_of_weights(name: str, weights: list[float]) -> None:
    for count in counts(name):
        if abs(sum(weights[:count])) < 1e-8:
            continue
        for way in variants(name):
            tensors = tensors_for(name, 5000, count, weights[:count], seed=count)
            assert same_bits(by_kernel(name, tensors, **way), by_method(name, tensors, **way)), way


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("as_stored", [True, False])
def test_bits_of_a_large_tensor(name: str, as_stored: bool) -> None:
    tensors = tensors_for(name, (300, 1000), max(counts(name)), seed=9, as_stored=as_stored)
    assert same_bits(by_kernel(name, tensors), by_method(name, tensors))


SMALL = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 1.0078125, 1e-20, -3.0]) | st.floats(
    -4, 4, width=16
)


@settings(deadline=None, max_examples=40)
@given(data=st.data())
@pytest.mark.parametrize("name", NAMES)
def test_bits_of_any_numbers(name: str, data: st.DataObject) -> None:
    """Zeros of both signs, equal magnitudes, cancelling changes, any weights and chunks."""
    count = data.draw(st.sampled_from(counts(name)))
    rows = data.draw(st.integers(1, 4))
    columns = data.draw(st.integers(1, 9))

    def values() -> np.ndarray[Any, Any]:
        flat = data.draw(st.lists(SMALL, min_size=rows * columns, max_size=rows * columns))
        return np.array(flat, np.float32).reshape(rows, columns)

    weight = st.sampled_from([1.0, 0.5, 0.0, -0.5]) | st.floats(-2, 2)
    weights = data.draw(st.lists(weight, min_size=count, max_size=count))
    way = data.draw(st.sampled_from(variants(name)))
    check = METHODS[name].check
    assume(check is None or check(weights, **complete_options(METHODS[name], way)) is None)
    base = None if METHODS[name].needs_base == "forbidden" else values()
    tensors = Tensors(
        base,
        [values() for _ in range(count)],
        weights,
        chunk=data.draw(st.integers(1, 40)),
        by_rows=METHODS[name].by_rows,
        as_stored=data.draw(st.booleans()),
    )
    assert same_bits(by_kernel(name, tensors, **way), by_method(name, tensors, **way))


@pytest.mark.parametrize("name", NAMES)
def test_chunks_do_not_matter(name: str) -> None:
    base, models = experts((331, 233), max(counts(name)), seed=4)
    base_or_none = None if METHODS[name].needs_base == "forbidden" else base
    for way in variants(name):
        merged = [
            by_kernel(
                name,
                Tensors(base_or_none, models, chunk=chunk, by_rows=METHODS[name].by_rows),
                **way,
            )
            for chunk in (1 << 20, 1 << 14, 5003)
        ]
        assert same_bits(merged[0], merged[1]) and same_bits(merged[0], merged[2])


@pytest.mark.parametrize("name", ["dare_ties", "dare_linear", "della"])
def test_an_expert_without_changes_leaves_the_factors_of_the_others(name: str) -> None:
    """Its own l1 factor is 1, which must not stand for everybody's."""
    base, models = experts((40, 50), 2, seed=2)
    tensors = Tensors(base, [base.copy(), models[1]], by_rows=METHODS[name].by_rows)
    merged = by_kernel(name, tensors, rescale="l1", density=0.3)
    assert same_bits(merged, by_method(name, tensors, rescale="l1", density=0.3))
    change = np.abs(merged - base.ravel()).sum() / np.abs(models[1] - base).sum()
    assert change == pytest.approx(1.0, rel=1e-3)


def test_chunks_that_do_not_fit_are_refused() -> None:
    tensors = Tensors(*experts((4, 10), 2), by_rows=True)
    chunk = tensors.piece(0, 40)
    with pytest.raises(ValueError, match="differ in size"):
        dataclasses.replace(chunk, base=np.zeros(39, np.float32))
    with pytest.raises(ValueError, match="differ in type"):
        dataclasses.replace(chunk, base=np.zeros(40, np.uint16))
    with pytest.raises(ValueError, match="whole rows"):
        by_kernel("della", Tensors(*experts((4, 10), 2), chunk=15))
