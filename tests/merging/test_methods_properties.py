"""Methods against independent references, over shapes, densities and weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merging.methods import METHODS
from merging.methods.draws import Draws, key_of
from merging.methods.selection import kth_largest_magnitude
from merging.methods.sums import ROW, gram, total
from tests.merging.reference import REFERENCES
from tests.merging.whole import InMemory, merge

everyday = settings(max_examples=30, deadline=None, derandomize=True)
sizes = st.lists(st.integers(1, 12), min_size=0, max_size=3).map(tuple)
densities = st.floats(0.01, 1.0)
weights = st.lists(st.floats(0.05, 3.0), min_size=1, max_size=4)


def tensors(shape: tuple[int, ...], count: int, seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    base = torch.randint(-200, 200, shape, generator=generator) / 64
    # coarse steps, so that equal magnitudes and exact zeros occur as they do in bfloat16
    steps = [torch.randint(-4, 5, shape, generator=generator) / 8 for _ in range(count)]
    return [base, *(base + step for step in steps)]


def against_reference(
    name: str, shape: tuple[int, ...], w: list[float], seed: int, **options: float
) -> None:
    base, *models = tensors(shape, len(w), seed)
    given_base = base if METHODS[name].needs_base == "required" else None
    merged = merge(name, given_base, models, w, chunk=5, block=16, **options)
    expected = REFERENCES[name](
        base.double().numpy(), [model.double().numpy() for model in models], w, **options
    )
    np.testing.assert_allclose(merged.double().numpy(), expected, rtol=2e-5, atol=2e-5)


@everyday
@given(sizes, weights, st.integers(0, 99))
def test_linear(shape: tuple[int, ...], w: list[float], seed: int) -> None:
    against_reference("linear", shape, w, seed)


@everyday
@given(sizes, weights, st.integers(0, 99), st.floats(0, 5))
def test_task_arithmetic(shape: tuple[int, ...], w: list[float], seed: int, scale: float) -> None:
    against_reference("task_arithmetic", shape, w, seed, scale=scale)


@everyday
@given(sizes, st.integers(0, 99), st.floats(0, 5))
def test_instruction_residual(shape: tuple[int, ...], seed: int, alpha: float) -> None:
    against_reference("instruction_residual", shape, [1.0, 1.0], seed, alpha=alpha)


@everyday
@given(sizes, st.integers(0, 99), st.floats(0, 1))
def test_slerp(shape: tuple[int, ...], seed: int, t: float) -> None:
    against_reference("slerp", shape, [1.0, 1.0], seed, t=t)


@everyday
@given(sizes, weights, st.integers(0, 99), densities, st.floats(0, 5))
def test_ties(
    shape: tuple[int, ...], w: list[float], seed: int, density: float, scale: float
) -> None:
    against_reference("ties", shape, w, seed, density=density, scale=scale)


@everyday
@given(sizes, weights, st.integers(0, 99), densities)
def test_dare_linear(shape: tuple[int, ...], w: list[float], seed: int, density: float) -> None:
    against_reference("dare_linear", shape, w, seed, density=density)


@everyday
@given(sizes, weights, st.integers(0, 99), densities)
def test_dare_ties(shape: tuple[int, ...], w: list[float], seed: int, density: float) -> None:
    against_reference("dare_ties", shape, w, seed, density=density)


@everyday
@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=200),
    st.data(),
)
def test_kth_largest_is_exact(values: list[float], data: st.DataObject) -> None:
    ranks = [data.draw(st.integers(1, len(values))) for _ in range(2)]
    tensor = torch.tensor(values, dtype=torch.float32)
    whole = InMemory(torch.zeros_like(tensor), [tensor, tensor], [1.0, 1.0], block=17)
    ordered = sorted(map(abs, tensor.tolist()))
    assert kth_largest_magnitude(whole, ranks) == [ordered[-rank] for rank in ranks]


def test_slerp_at_its_ends_and_of_antiparallel_and_zero_tensors() -> None:
    a, b = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 5.0])
    torch.testing.assert_close(merge("slerp", None, [a, b], t=0.0), a)
    torch.testing.assert_close(merge("slerp", None, [a, b], t=1.0), b)
    assert merge("slerp", None, [a, -a], t=0.25).tolist() == [1.5, 0.0]
    assert merge("slerp", None, [a, torch.zeros(2)], t=0.25).tolist() == [2.25, 0.0]


def test_ties_keeps_all_entries_equal_to_the_threshold_and_zeros_do_no_harm() -> None:
    base = torch.zeros(6)
    equal = merge("ties", base, [torch.tensor([1.0, 1, 1, 1, 0, 0])], density=0.34)
    assert equal.tolist() == [1, 1, 1, 1, 0, 0]
    mostly_zero = merge("ties", base, [torch.tensor([0.0, 0, 0, 0, 0, 2])], density=0.5)
    assert mostly_zero.tolist() == [0, 0, 0, 0, 0, 2]


def test_ties_ignores_a_common_factor_of_the_weights_and_honours_negative_ones() -> None:
    base, *models = tensors((50,), 3, 1)
    once = merge("ties", base, models, [1.0, 2.0, 3.0])
    torch.testing.assert_close(merge("ties", base, models, [0.1, 0.2, 0.3]), once)
    only = [base + 1.0]
    torch.testing.assert_close(merge("ties", base, only, [-1.0], density=1.0), base - 1.0)


def test_dare_rescale_l1_keeps_the_sum_of_magnitudes() -> None:
    base, model = torch.zeros(5000), torch.randn(5000, generator=torch.Generator().manual_seed(0))
    merged = merge("dare_linear", base, [model], density=0.3, rescale="l1", block=700)
    assert float(merged.abs().sum()) == pytest.approx(float(model.abs().sum()), rel=1e-5)


@pytest.mark.parametrize("density", [0.01, 0.1, 0.5, 0.9, 1.0])
def test_masks_have_the_right_share_and_dare_the_right_mean(density: float) -> None:
    n = 200_000
    like = torch.zeros(n)
    kept = Draws([key_of(7, "model", "tensor")], 0, n).kept(0, density, like)
    error = math.sqrt(density * (1 - density) / n)
    assert abs(kept.double().mean().item() - density) <= 4 * error
    # neighbours are independent: the share of pairs kept is the square
    pairs = (kept[:-1] & kept[1:]).double().mean().item()
    assert abs(pairs - density**2) <= 5 * math.sqrt(2) * error + 1e-9
    merged = merge("dare_linear", like, [torch.ones(n)], density=density)
    assert abs(merged.double().mean().item() - 1) <= 4 * error / density


@everyday
@given(st.integers(0, 5000), st.integers(1, 500))
def test_masks_do_not_depend_on_chunks(start: int, length: int) -> None:
    keys = [key_of(3, "model", "tensor")]
    whole = Draws(keys, 0, 6000).kept(0, 0.4, torch.zeros(1))
    part = Draws(keys, start, length).kept(0, 0.4, torch.zeros(1))
    assert part.equal(whole[start : start + length])


def test_masks_differ_between_seeds_models_and_tensors_and_never_change() -> None:
    def first(seed: int, model: str, tensor: str) -> list[int]:
        draws = Draws([key_of(seed, model, tensor)], 0, 64)
        return draws.kept(0, 0.5, torch.zeros(1)).int().tolist()

    seen = [first(0, "a", "t"), first(1, "a", "t"), first(0, "b", "t"), first(0, "a", "u")]
    assert len({tuple(row) for row in seen}) == 4
    # literal: a recipe of last year gives the same model this year
    assert seen[0][:16] == [0, 0, 1, 0, 1, 1, 0, 0, 1, 1, 0, 1, 0, 0, 1, 0]


def test_sums_are_right_and_independent_of_blocks_and_threads() -> None:
    values = torch.randn(5 * ROW + 77, generator=torch.Generator().manual_seed(0))
    expected = math.fsum(values.double().tolist())
    assert total([values]) == pytest.approx(expected, abs=1e-9)
    other = values.roll(1)
    whole = gram([(values, other)])
    assert (
        whole[0][1]
        == whole[1][0]
        == pytest.approx(float(values.double() @ other.double()), abs=1e-9)
    )
    assert gram(zip(values.split(2 * ROW), other.split(2 * ROW), strict=True)) == whole
    torch.set_num_threads(2)
    try:
        assert gram([(values, other)]) == whole
    finally:
        torch.set_num_threads(1)
