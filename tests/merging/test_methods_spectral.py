"""TSV-M and Iso-C: against singular value decompositions, and the laws they follow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merging.methods import METHODS
from merging.methods.matrices import inverse_root, leading, times
from tests.merging.reference import REFERENCES
from tests.merging.test_methods_properties import everyday
from tests.merging.whole import merge

SHAPES = [(1, 1), (1, 9), (9, 1), (6, 6), (12, 5), (5, 12), (3, 4, 7), (2, 1, 3), (40, 3)]


def experts(shape: tuple[int, ...], count: int, seed: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(shape, generator=generator)
    return (base, *(base + 0.1 * torch.randn(shape, generator=generator) for _ in range(count)))


def rotation(size: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0]


def against_reference(name: str, base: torch.Tensor, models: list[torch.Tensor], w: list[float],
                      tolerance: float = 1e-5, **options: float) -> None:  # fmt: skip
    merged = merge(name, base, models, w, **options)
    expected = REFERENCES[name](
        base.double().numpy(), [model.double().numpy() for model in models], w, **options
    )
    np.testing.assert_allclose(merged.double().numpy(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_by_decomposition(shape: tuple[int, ...], count: int) -> None:
    base, *models = experts(shape, count, 3)
    weights = [1.0, 0.5, -2.0][:count]
    against_reference("iso_c", base, models, weights, scale=1.5)
    for share in (1.0, 0.6):
        against_reference("tsv_m", base, models, weights, scale=1.5, share=share)


@everyday
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 4), st.integers(0, 99))
def test_any_matrix(rows: int, columns: int, count: int, seed: int) -> None:
    base, *models = experts((rows, columns), count, seed)
    # chance makes two directions of small matrices nearly equal, where float32 has few digits
    for name in ("iso_c", "tsv_m"):
        against_reference(name, base, models, [1.0] * count, tolerance=1e-4)


def test_singular_values_over_four_decades_are_right() -> None:
    for rows, columns in ((60, 40), (40, 60)):
        left, right = rotation(rows, 0)[:, :40], rotation(columns, 1)[:, :40]
        values = torch.logspace(0, -4, 40, dtype=torch.float64)
        delta = ((left * values) @ right.T).float()
        merged = merge("iso_c", torch.zeros(rows, columns), [delta])
        expected = (values.mean() * left @ right.T).float()
        torch.testing.assert_close(merged, expected, rtol=1e-3, atol=1e-5)
        exact = merge("tsv_m", torch.zeros(rows, columns), [delta])
        torch.testing.assert_close(exact, delta, rtol=1e-5, atol=1e-7)


def test_one_expert_alone_is_itself_and_a_share_of_it_its_best_approximation() -> None:
    base, model = experts((30, 20), 1, 0)
    torch.testing.assert_close(merge("tsv_m", base, [model]), model, rtol=1e-6, atol=1e-6)
    u, s, vt = torch.linalg.svd(model - base, full_matrices=False)
    expected = base + (u[:, :5] * s[:5]) @ vt[:5]
    torch.testing.assert_close(merge("tsv_m", base, [model], share=0.25), expected)


@pytest.mark.parametrize("name", ["tsv_m", "iso_c"])
def test_turned_matrices_give_the_turned_merge(name: str) -> None:
    _, *models = experts((14, 9), 3, 1)
    zero = torch.zeros(14, 9)
    left, right = rotation(14, 2).float(), rotation(9, 3).float()
    turned = merge(name, zero, [left @ model @ right for model in models])
    torch.testing.assert_close(turned, left @ merge(name, zero, models) @ right, rtol=0, atol=1e-5)
    over = merge(name, zero.T, [model.T.contiguous() for model in models])
    torch.testing.assert_close(over, merge(name, zero, models).T, rtol=0, atol=1e-6)


def test_iso_c_makes_all_singular_values_equal_and_keeps_their_sum() -> None:
    _, *models = experts((25, 10), 3, 4)
    merged = merge("iso_c", torch.zeros(25, 10), models)
    total = torch.linalg.svdvals(sum(models))
    found = torch.linalg.svdvals(merged)
    torch.testing.assert_close(found, total.mean().expand(10))


def test_iso_c_does_not_raise_rounding_to_full_strength() -> None:
    generator = torch.Generator().manual_seed(0)
    thin = torch.randn(50, 2, generator=generator) @ torch.randn(2, 30, generator=generator)
    merged = merge("iso_c", torch.zeros(50, 30), [thin])
    values = torch.linalg.svdvals(merged)
    torch.testing.assert_close(values[:2], torch.linalg.svdvals(thin)[:2].sum().expand(2) / 30)
    assert float(values[2:].max()) < 1e-5


def test_tsv_m_adds_experts_that_do_not_meet_and_averages_equal_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    one, two = torch.zeros(20, 12), torch.zeros(20, 12)
    one[:10, :6] = torch.randn(10, 6, generator=generator)
    two[10:, 6:] = torch.randn(10, 6, generator=generator)
    zero = torch.zeros(20, 12)
    torch.testing.assert_close(merge("tsv_m", zero, [one, two]), one + two)
    torch.testing.assert_close(merge("tsv_m", zero, [one, one]), one)


def test_a_tall_embedding_costs_its_width_and_chunks_are_whole_tensors() -> None:
    base, *models = experts((5000, 8), 2, 5)
    for name in ("tsv_m", "iso_c"):
        assert METHODS[name].whole_tensor
        against_reference(name, base, models, [1.0, 1.0])
        assert merge(name, base, models, chunk=7, block=3).equal(merge(name, base, models))


@pytest.mark.parametrize("shape", [(0,), (0, 4), (4, 0)])
def test_empty_tensors_stay_empty(shape: tuple[int, ...]) -> None:
    from merging.methods.inputs import Inputs
    from tests.merging.whole import InMemory

    base, *models = experts(shape, 2, 0)
    for name in ("tsv_m", "iso_c"):
        given: Inputs = InMemory(base, models, [1.0, 1.0]).inputs(0, 0)
        assert METHODS[name].apply(given, {}).numel() == 0


def test_pieces_of_the_arithmetic() -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(30, 6, generator=generator)
    left, values, right = leading(matrix, 4)
    torch.testing.assert_close(values, torch.linalg.svdvals(matrix.double())[:4])
    torch.testing.assert_close(left.double().T @ left.double(), torch.eye(4).double())
    torch.testing.assert_close(times(matrix, right), left * values.float())
    square = matrix.double().T @ matrix.double()
    root, strength = inverse_root(square)
    assert strength == pytest.approx(float(torch.linalg.svdvals(matrix.double()).sum()))
    torch.testing.assert_close(root @ square @ root, torch.eye(6).double())
    assert inverse_root(torch.zeros(3, 3).double())[0].equal(torch.zeros(3, 3).double())
