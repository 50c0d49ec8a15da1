"""The likeliest entry found with 8-bit products is the one that the whole product gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.scoring import screening
from evaluation.scoring.screening import Head, Screen, highest_of_head


@pytest.fixture(autouse=True)
def _any_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening, "eight_bits_are_fast", lambda _: True)


def draw(seed: int, rows: int, entries: int, size: int, outlier: float) -> tuple[Any, Any]:
    """(states, weights); one column of the states, another of the weights, is far larger."""
    made = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, size, generator=made)
    weight = torch.randn(entries, size, generator=made) * 0.1
    hidden[:, 0] *= outlier
    weight[:, 1] *= outlier
    weight[seed % entries] *= 3
    return hidden, weight


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 40),
    entries=st.sampled_from([1, 63, 64, 65, 1000, 5001]),
    size=st.sampled_from([8, 40, 64]),
    outlier=st.sampled_from([1.0, 30.0, 1000.0]),
)
def test_the_likeliest_is_always_a_candidate(
    seed: int, rows: int, entries: int, size: int, outlier: float
) -> None:
    hidden, weight = draw(seed, rows, entries, size, outlier)
    whole = hidden.double() @ weight.double().T
    found = Screen.of(weight, hidden).candidates(hidden)
    if found is None:
        return  # too many to be worth it
    pairs = set(zip(*(part.tolist() for part in found), strict=True))
    assert set(enumerate(whole.argmax(-1).tolist())) <= pairs
    assert all(entry < entries for _, entry in pairs)


@pytest.mark.parametrize("outlier", [1.0, 30.0])
def test_the_head_says_what_the_whole_product_says(outlier: float) -> None:
    hidden, weight = draw(3, 50, 6000, 64, outlier)
    head = Head(weight, None)
    for part in (hidden, hidden[:1], hidden * 100):
        best, highest = head(part)
        logits = part @ weight.T
        assert best.tolist() == logits.argmax(-1).tolist()
        torch.testing.assert_close(highest, logits.amax(-1))
    assert head._screen is not None
    found = head._screen.candidates(hidden)
    assert found is not None and len(found[0]) < 64 * len(hidden)


def test_of_equal_logits_the_first_counts() -> None:
    hidden, weight = draw(5, 20, 5000, 64, 1.0)
    weight[4999] = weight[70] = weight[7] = weight.norm(dim=-1).max() * hidden[0] / hidden[0].norm()
    best, _ = Head(weight, None)(hidden)
    assert best[0] == 7


def test_flat_logits_are_left_to_the_whole_product() -> None:
    """With every entry equally likely all are candidates, and the screen gives up."""
    hidden, weight = draw(1, 4, 5000, 64, 1.0)
    weight[:] = weight[0]
    head = Head(weight, None)
    for _ in range(4):
        best, highest = head(hidden)
        expected = highest_of_head(hidden, weight, None)
        assert torch.equal(best, expected[0]) and torch.equal(highest, expected[1])
    assert head._screen is None and not head._chances


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["hidden", "weight"])
def test_what_is_not_finite_stays_so(bad: float, where: str) -> None:
    hidden, weight = draw(2, 6, 5000, 64, 1.0)
    (hidden if where == "hidden" else weight)[2, 3] = bad
    _, highest = Head(weight, None)(hidden)
    _, expected = highest_of_head(hidden, weight, None)
    assert torch.equal(highest.isnan(), expected.isnan())


def test_a_processor_that_cannot_is_asked_once() -> None:
    """Whatever this processor answers, it is an answer, and a bias is never screened."""
    assert screening.eight_bits_are_fast(64) is True  # as patched here
    _, weight = draw(2, 6, 5000, 64, 1.0)
    assert Head(weight, torch.zeros(5000))._chances == 0
    assert Head(weight.bfloat16(), None)._chances == 0
