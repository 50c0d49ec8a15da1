"""Arcee Fusion, PCB and WIDEN: against references, and the laws they follow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from merging.methods.arcee_fusion import _importance
from merging.methods.selection import kth_largest
from merging.methods.widen import _divergences
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

several = weights.filter(lambda w: len(w) >= 2)


def experts(shape: tuple[int, ...], count: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(shape, generator=generator)
    return [base, *(base + 0.1 * torch.randn(shape, generator=generator) for _ in range(count))]


@everyday
@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=200),
    st.data(),
)
def test_kth_largest_of_numbers_with_signs(values: list[float], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(values)))
    blocks = torch.tensor(values, dtype=torch.float32).split(17)
    ((found,),) = kth_largest(lambda: ([block] for block in blocks), [[k]], signed=True)
    assert found == sorted(torch.tensor(values, dtype=torch.float32).tolist())[-k]


@everyday
@given(sizes, st.integers(0, 99), st.floats(0, 3))
def test_arcee_fusion(shape: tuple[int, ...], seed: int, fence: float) -> None:
    against_reference("arcee_fusion", shape, [1.0], seed, fence=fence)


@pytest.mark.parametrize("size", [1e-1, 1e-3, 1e-5])
def test_arcee_fusion_takes_the_outstanding_changes_however_small(size: float) -> None:
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(200, 100, generator=generator)
    delta = size * torch.randn(200, 100, generator=generator)
    merged = merge("arcee_fusion", base, [base + delta], block=700)
    taken = (merged != base).double().mean()
    assert 0.02 < float(taken) < 0.12
    model = base + delta
    assert ((merged == base) | (merged == model)).all()
    # a lower fence takes more, and what a higher one takes too
    low = merge("arcee_fusion", base, [model], fence=0.5) != base
    assert (low | (merged == base)).all() and low.sum() > (merged != base).sum()


def test_importances_of_the_smallest_changes_are_not_negative() -> None:
    base = 1e-3 * experts((200, 50), 0)[0]
    for seed in range(5):
        up = torch.randint(0, 2, base.shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1
        model = torch.nextafter(base, base + up)
        assert (_importance(base.flatten(), model.flatten(), 50) >= 0).all()


def test_arcee_fusion_takes_all_changes_where_few_entries_changed() -> None:
    base, model = experts((30, 20), 1)
    model[5:] = base[5:]
    assert merge("arcee_fusion", base, [model]).equal(model)


@everyday
@given(sizes, several, st.integers(0, 99), densities, st.floats(0, 5))
def test_pcb(
    shape: tuple[int, ...], w: list[float], seed: int, density: float, scale: float
) -> None:
    against_reference("pcb", shape, w, seed, density=density, scale=scale)


def test_pcb_of_a_large_tensor_cuts_outliers() -> None:
    base, *models = experts((300, 100), 3)
    models[0][5, 5] += 1000.0
    merged = merge("pcb", base, models, density=0.2, block=4096, chunk=1000)
    expected = REFERENCES["pcb"](
        base.double().numpy(), [m.double().numpy() for m in models], [1.0] * 3, density=0.2
    )
    np.testing.assert_allclose(merged.double().numpy(), expected, rtol=1e-5, atol=1e-5)
    assert float((merged - base).abs().max()) < 0.6


def test_pcb_drops_what_contradicts_and_keeps_what_agrees() -> None:
    base = torch.zeros(4)
    one, two = torch.tensor([3.0, 2.0, 1.0, 0.0]), torch.tensor([3.0, -1.0, 2.0, 0.0])
    merged = merge("pcb", base, [one, two], density=0.5)
    # each keeps the entry in which they agree; the second of its best two scores 0
    assert merged.tolist() == [3.0, 0.0, 0.0, 0.0] or merged[0] == 3.0
    assert float(merged[3]) == 0.0
    against = merge("pcb", base, [one, -one])
    assert against.equal(base)


def test_pcb_ignores_an_expert_that_changed_nothing() -> None:
    base, model = experts((40, 10), 1)
    beside = merge("pcb", base, [model, base.clone()], density=0.3)
    kept = beside != base
    assert 0.2 < float(kept.double().mean()) <= 0.3
    torch.testing.assert_close(beside[kept], model[kept])
    ordered = (model - base).abs()
    assert float(ordered[kept].min()) >= float(ordered[~kept].max())


@everyday
@given(sizes, several, st.integers(0, 99), st.floats(0, 2), st.floats(0, 2))
def test_widen(
    shape: tuple[int, ...], w: list[float], seed: int, ratio: float, calibration: float
) -> None:
    base, *models = experts(shape, len(w), seed)
    for tensor in ("t", "model.embed_tokens.weight"):
        merged = merge(
            "widen",
            base,
            models,
            chunk=5,
            block=16,
            tensor=tensor,
            ratio=ratio,
            calibration=calibration,
        )
        expected = REFERENCES["widen"](
            base.double().numpy(),
            [model.double().numpy() for model in models],
            w,
            ratio=ratio,
            calibration=calibration,
            embedding=tensor != "t",
        )
        np.testing.assert_allclose(merged.double().numpy(), expected, rtol=2e-5, atol=2e-5)


@everyday
@given(sizes, several, st.integers(0, 99))
def test_widen_of_coarse_weights_is_finite_and_between(
    shape: tuple[int, ...], w: list[float], seed: int
) -> None:
    base, *models = tensors(shape, len(w), seed)
    merged = merge("widen", base, models)
    deltas = torch.stack([model - base for model in models])
    assert merged.isfinite().all()
    low, high = deltas.clamp(max=0).sum(0), deltas.clamp(min=0).sum(0)
    assert ((merged - base >= low - 1e-5) & (merged - base <= high + 1e-5)).all()


def test_widen_does_not_mind_how_far_an_expert_went() -> None:
    """Ranks are all it looks at: a continually pretrained expert does not drown a tuned one."""
    base, far, near = experts((30, 20), 2)
    columns = torch.linspace(0.2, 1.8, 20)
    far, near = base + 50 * (far - base) * columns, base + (near - base) * columns.flip(0)
    merged = merge("widen", base, [far, near])
    # near's strongest column counts in full, though far's change there is many times as large
    rest = merged[:, 0] - near[:, 0]
    share = rest / (far - base)[:, 0]
    assert float(share.std()) < 1e-4
    assert 0.2 < float(share.mean()) < 0.8


@pytest.mark.parametrize("name", ["lm_head.weight", "model.layers.0.embed_tokens_norm.weight"])
def test_widen_takes_only_embeddings_by_rows(name: str) -> None:
    base, *models = experts((12, 9), 2)
    plain = merge("widen", base, models)
    assert merge("widen", base, models, tensor=name).equal(plain)
    embedded = merge("widen", base, models, tensor="model.embed_tokens.weight")
    assert not embedded.allclose(plain)
    assert embedded.allclose(merge("widen", base.T, [model.T for model in models]).T)


def test_widen_of_columns_that_are_zero() -> None:
    base, one, two = experts((6, 4), 2)
    base[:, 1], one[:, 1] = 0, 0
    assert merge("widen", base, [one, two]).isfinite().all()
    assert merge("widen", base * 0, [base * 0, one]).isfinite().all()


def test_widen_takes_rounding_for_no_divergence() -> None:
    """Columns that only grow don't turn, and columns whose entries change places don't grow."""
    generator = torch.Generator().manual_seed(0)
    b = torch.randn(60, 40, generator=generator, dtype=torch.float64)
    for d, none in ((b * 0.3, 1), (b.roll(1, dims=0) - b, 0)):
        found = _divergences(b.square().sum(0), (b * d).sum(0), d.square().sum(0))
        assert not found[none].any()
        assert found[1 - none].all()
