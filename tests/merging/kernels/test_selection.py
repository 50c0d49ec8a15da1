from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merging.kernels import selection
from merging.kernels.selection import kth_largest_magnitudes, sample_spans
from tests.merging.kernels.reference import Tensors, experts

N = 300_000


def sorted_magnitudes(tensors: Tensors, model: int) -> np.ndarray[Any, Any]:
    base = 0 if tensors.base is None else tensors.base
    return np.sort(np.abs(tensors.models[model] - base))[::-1]


def check(tensors: Tensors, ranks: list[list[int]]) -> None:
    found = kth_largest_magnitudes(tensors, ranks)
    for model, wanted in enumerate(ranks):
        expected = sorted_magnitudes(tensors, model)[[rank - 1 for rank in wanted]]
        assert found[model] == expected.tolist()


@pytest.mark.parametrize("coarse", [True, False])
@pytest.mark.parametrize("chunk", [1 << 16, 10_007])
def test_ranks_of_a_large_tensor_are_exact(coarse: bool, chunk: int) -> None:
    tensors = Tensors(*experts(N, 3, coarse=coarse), chunk=chunk)
    ranks = [1, 2, 3000, N // 5, N // 2, int(0.9 * N), N - 1, N]
    check(tensors, [ranks, ranks, ranks])


def test_one_pass_is_enough_for_usual_tensors() -> None:
    for coarse in (True, False):
        tensors = Tensors(*experts(N, 3, coarse=coarse))
        kth_largest_magnitudes(tensors, [[N // 2], [N // 5], [N // 10, N // 2]])
        assert tensors.passes == 1


def test_models_may_differ_in_their_ranks() -> None:
    tensors = Tensors(*experts(N, 3))
    check(tensors, [[5], [], [N // 3, N // 2]])
    assert kth_largest_magnitudes(tensors, [[], [], []]) == [[], [], []]


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(
        st.sampled_from([0.0, -0.0, 1.0, -1.0, 1.5, 1e-45, -3e38])
        | st.floats(-(2.0**100), 2.0**100, width=32),
        min_size=1,
        max_size=60,
    ),
    data=st.data(),
)
def test_small_tensors(values: list[float], data: st.DataObject) -> None:
    rank = data.draw(st.integers(1, len(values)))
    check(Tensors(None, [np.array(values)], chunk=7), [[rank]])


@pytest.mark.parametrize("kind", ["half zeros", "all equal", "few values", "rising", "one outlier"])
def test_unusual_tensors(kind: str) -> None:
    random = np.random.default_rng(0)
    values = {
        "half zeros": np.where(random.random(N) < 0.5, 0, random.standard_normal(N)),
        "all equal": np.full(N, -2.5),
        "few values": random.integers(-3, 4, N) * 0.125,
        # the pieces of the sample differ completely from each other
        "rising": np.arange(N) / N,
        "one outlier": np.where(np.arange(N) == 77, 1e9, 1e-9),
    }[kind]
    check(Tensors(None, [values.astype(np.float32)]), [[1, 2, N // 4, N // 2, N - 1, N]])


def outside_the_sample(values: np.ndarray[Any, Any], other: float) -> np.ndarray[Any, Any]:
    """The values where a sample looks, and another one everywhere else."""
    seen = np.zeros(N, bool)
    for start, stop in sample_spans(N):
        seen[start:stop] = True
    return np.where(seen, values, other).astype(np.float32)


@pytest.mark.parametrize("other", [0.0, 1e9])
def test_a_misleading_sample_costs_passes_but_no_exactness(other: float) -> None:
    values = outside_the_sample(np.random.default_rng(1).standard_normal(N), other)
    values[::1001] += 0.5
    tensors = Tensors(None, [values, np.abs(values)])
    check(tensors, [[N // 10, N // 2], [N // 3]])
    assert tensors.passes == 3


def test_too_much_between_the_ends_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "DEVIATIONS", 200)
    tensors = Tensors(*experts(N, 2, coarse=False), chunk=9999)
    check(tensors, [[N // 2], [N // 3, N // 9]])


@pytest.mark.parametrize("n", [65_536, 65_537, 70_001, 1 << 20, (1 << 20) + 13])
def test_samples_lie_inside_and_apart(n: int) -> None:
    spans = list(sample_spans(n))
    assert spans[0][0] >= 0 and spans[-1][1] <= n
    assert all(stop <= start for (_, stop), (start, _) in zip(spans, spans[1:], strict=False))
