"""Pruning by rank and means on the sphere: against references, and at their edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merging.errors import RecipeError
from merging.methods.sphere import karcher_factors
from merging.recipes.recipe import Recipe
from tests.merging.reference import REFERENCES
from tests.merging.test_methods_properties import (
    against_reference,
    densities,
    everyday,
    sizes,
    tensors,
    weights,
)
from tests.merging.whole import merge


@everyday
@given(sizes, weights, st.integers(0, 99), densities, st.floats(0, 0.95))
def test_della(
    shape: tuple[int, ...], w: list[float], seed: int, density: float, share: float
) -> None:
    for name in ("della", "della_linear"):
        against_reference(
            name, shape, w, seed, density=density, epsilon=min(1.0, 2 * density * share)
        )


def test_della_allows_a_density_near_one_and_rows_of_one_entry() -> None:
    base = torch.zeros(5000)
    delta = torch.randn(5000, generator=torch.Generator().manual_seed(0))
    kept = merge("della_linear", base, [delta], density=0.9, epsilon=0.3, rescale="none")
    assert 0.88 < float((kept != 0).double().mean()) < 0.91
    assert merge("della_linear", base, [delta], density=1.0, epsilon=0.0).equal(delta)
    column = merge("della", base.view(-1, 1), [delta.view(-1, 1)], density=0.5)
    assert column.isfinite().all()
    assert 0.47 < float((column != 0).double().mean()) < 0.53


def test_della_keeps_large_entries_more_often_and_the_mean() -> None:
    n = 200_000
    delta = torch.rand(20, n // 20, generator=torch.Generator().manual_seed(0))
    plain = merge("della_linear", delta * 0, [delta], density=0.5, epsilon=0.6, rescale="none")
    for low, high, expected in ((0.0, 0.1, 0.23), (0.45, 0.55, 0.5), (0.9, 1.0, 0.77)):
        part = plain[(delta > low) & (delta <= high)]
        assert abs(float((part != 0).double().mean()) - expected) < 0.02
    merged = merge("della_linear", delta * 0, [delta], density=0.5, epsilon=0.6)
    assert float(merged.double().mean()) == pytest.approx(float(delta.double().mean()), rel=0.02)
    same = merge("della_linear", delta * 0, [delta], density=0.3, rescale="l1", block=10_000)
    assert float(same.sum()) == pytest.approx(float(delta.sum()), rel=1e-5)


def test_della_refuses_probabilities_of_zero() -> None:
    with pytest.raises(RecipeError, match="choose an epsilon below 0.2"):
        Recipe(
            method="della",
            base="b",
            models=[{"model": "a"}],
            options={"density": 0.1, "epsilon": 0.2},
        )


@everyday
@given(sizes, weights, st.integers(0, 99), densities, st.floats(0, 0.5))
def test_breadcrumbs(
    shape: tuple[int, ...], w: list[float], seed: int, density: float, gamma: float
) -> None:
    for name in ("breadcrumbs", "breadcrumbs_ties"):
        against_reference(name, shape, w, seed, density=density, gamma=gamma)


@pytest.mark.parametrize("name", ["breadcrumbs", "breadcrumbs_ties"])
def test_breadcrumbs_of_small_tensors_keep_something(name: str) -> None:
    """Where no element counts as an outlier, none is dropped, and not the whole task vector."""
    base, delta = torch.zeros(10), torch.arange(1.0, 11.0)
    for options in ({"gamma": 0.01}, {"gamma": 0.0}):
        merged = merge(name, base, [delta], density=0.5, **options)
        assert merged.tolist() == [0, 0, 0, 0, 0, 6, 7, 8, 9, 10]
    assert merge(name, base, [delta], density=1.0, gamma=0.5).equal(delta)
    assert merge(name, base[0], [delta[3]], gamma=0.5).tolist() == 4.0


@everyday
@given(sizes, weights.filter(lambda w: len(w) >= 2), st.integers(0, 99))
def test_means_on_the_sphere(shape: tuple[int, ...], w: list[float], seed: int) -> None:
    against_reference("model_stock", shape, w, seed)
    base, *models = tensors(shape, len(w), seed)
    # far from each other, and none of them zero
    turned = [model.abs() + 1 + 3 * i for i, model in enumerate(models)]
    for name in ("nuslerp", "multislerp", "karcher"):
        given_models, given_weights = (turned[:2], w[:2]) if name == "nuslerp" else (turned, w)
        merged = merge(name, None, given_models, given_weights, chunk=5, block=16)
        expected = REFERENCES[name](None, [m.double().numpy() for m in given_models], given_weights)
        np.testing.assert_allclose(merged.double().numpy(), expected, rtol=2e-5, atol=2e-5)


@everyday
@given(sizes, weights.filter(lambda w: len(w) >= 2), st.integers(0, 99), densities)
def test_sce(shape: tuple[int, ...], w: list[float], seed: int, share: float) -> None:
    against_reference("sce", shape, w, seed, select_topk=share)


def test_sce_weights_small_changes_as_it_does_large_ones() -> None:
    """mergekit 0.1.5 falls back to equal weights for changes of the usual size."""
    generator = torch.Generator().manual_seed(0)
    deltas = [
        5e-4 * torch.rand(1000, generator=generator),
        1e-4 * torch.rand(1000, generator=generator),
    ]
    base = torch.zeros(1000)
    small = merge("sce", base, deltas, select_topk=1.0)
    large = merge("sce", base, [100 * delta for delta in deltas], select_topk=1.0)
    torch.testing.assert_close(100 * small, large)
    squares = [float((delta.double() ** 2).sum()) for delta in deltas]
    first = squares[0] / sum(squares)
    assert first == pytest.approx(0.96, abs=0.01)
    torch.testing.assert_close(small, first * deltas[0] + (1 - first) * deltas[1])


def test_model_stock_sees_the_angle_of_changes_however_small() -> None:
    base = torch.zeros(2)
    for size in (1.0, 1e-4, 1e-12):
        models = [torch.tensor([2 * size, 0]), torch.tensor([size, 3**0.5 * size])]
        merged = merge("model_stock", base, models)
        torch.testing.assert_close(merged / size, torch.tensor([1.0, 3**-0.5]))


def test_model_stock_of_models_that_contradict_each_other() -> None:
    base, delta = torch.ones(3), torch.tensor([1.0, 2.0, 0.0])
    models = [base + delta, base - delta]
    assert merge("model_stock", base, models).equal(base)
    assert merge("model_stock", base, models, clamp=False).equal(base)  # at the formula's pole


def test_means_on_the_sphere_of_opposite_and_zero_tensors() -> None:
    a, zero = torch.tensor([3.0, 4.0]), torch.zeros(2)
    for name in ("nuslerp", "multislerp"):
        assert merge(name, None, [a, -a], [3.0, 1.0]).allclose(a / 2 if name == "nuslerp" else a)
        assert merge(name, None, [a, -a]).equal(zero)
    assert merge("nuslerp", None, [a, zero], [1.0, 3.0]).allclose(a / 4)
    for name in ("multislerp", "karcher"):
        torch.testing.assert_close(merge(name, None, [a, zero]), a / 2)
        assert merge(name, None, [zero, zero]).equal(zero)
    assert merge("karcher", None, [a, -a, 2 * a], [1.0, 0.0, 1.0]).allclose(1.5 * a)
    assert merge("karcher", None, [a, -a]).isfinite().all()


@pytest.mark.parametrize("weights", [[1.0, -1.0], [0.0, 0.0]])
def test_weights_that_leave_no_mean_are_refused(weights: list[float]) -> None:
    models = [{"model": f"m{i}", "weight": weight} for i, weight in enumerate(weights)]
    for name in ("nuslerp", "multislerp", "karcher"):
        with pytest.raises(RecipeError, match=r"weights (add up to 0|of 0 or more)"):
            Recipe(method=name, models=models)


@everyday
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99), st.booleans(), st.booleans())
def test_rows_and_columns_are_merged_as_tensors_of_their_own(
    rows: int, columns: int, seed: int, with_base: bool, clamp: bool
) -> None:
    base, *models = tensors((rows, columns), 3, seed)
    given_base = base if with_base else None
    pair, shares = models[:2], [2.0, 0.5]
    by_row = merge("nuslerp", given_base, pair, shares, per="row", chunk=5, block=16)
    by_column = merge("nuslerp", given_base, pair, shares, per="column", chunk=5, block=16)
    stocks = merge("model_stock", base, models, per="row", clamp=clamp, chunk=5, block=16)
    for row in range(rows):
        start = None if given_base is None else given_base[row]
        alone = merge("nuslerp", start, [model[row] for model in pair], shares)
        torch.testing.assert_close(by_row[row], alone, rtol=1e-5, atol=1e-5)
        stock = merge("model_stock", base[row], [model[row] for model in models], clamp=clamp)
        torch.testing.assert_close(stocks[row], stock, rtol=1e-4, atol=1e-4)
    for column in range(columns):
        start = None if given_base is None else given_base[:, column]
        alone = merge("nuslerp", start, [model[:, column] for model in pair], shares)
        torch.testing.assert_close(by_column[:, column], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("per", ["tensor", "row", "column"])
def test_a_vector_is_one_row_and_one_column(per: str) -> None:
    one, two = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 3.0])
    merged = merge("nuslerp", None, [one, two], per=per)
    torch.testing.assert_close(merged, torch.full((2,), 3 / 2**0.5))


@pytest.mark.parametrize("weights", [[0.9995, 0.0, 1.0], [1.0, 0.0, 0.75]])
def test_a_karcher_mean_of_opposite_models_does_not_divide_by_what_rounding_left(
    weights: list[float],
) -> None:
    products = [[1.0, 0.0, -1.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 1.0]]
    for max_iter in (1, 2, 10):
        factors = karcher_factors(products, weights, max_iter=max_iter)
        assert all(math.isfinite(one) for one in factors)
