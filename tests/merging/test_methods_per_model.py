"""Options with a value for each model, and the random numbers masks are made of."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from merging.methods import METHODS, each, get_method
from merging.methods.draws import Draws, key_of
from merging.methods.philox import philox
from tests.merging.reference import philox as slow_philox
from tests.merging.test_methods_properties import everyday, tensors
from tests.merging.whole import merge

# Random123's known answers for philox4x32-10: counter, key, words
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip
PER_MODEL = {
    "ties": {"density"},
    "dare_linear": {"density"},
    "dare_ties": {"density"},
    "della": {"density", "epsilon"},
    "della_linear": {"density", "epsilon"},
    "breadcrumbs": {"density", "gamma"},
    "breadcrumbs_ties": {"density", "gamma"},
    "passthrough": {"scale"},
}
VALUES = {"density": (0.9, 0.3, 0.5), "epsilon": (0.0, 0.4, 0.2), "gamma": (0.0, 0.2, 0.05)}


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_the_generator_gives_its_known_answers(counter: str, key: str, expected: str) -> None:
    low, high = words(key)
    a, b, c, d = (torch.tensor([word]) for word in words(counter))
    found = philox((a, b, c, d), high << 32 | low)
    assert [int(word) for word in found] == words(expected)
    assert list(slow_philox(words(counter), words(key))) == words(expected)


@everyday
@given(st.integers(0, 2**40), st.integers(1, 40), st.integers(0, 2**64 - 1))
@example(2**35 - 3, 20, 2**40 + 5)
def test_an_element_has_its_number_wherever_the_chunk_begins(
    start: int, count: int, key: int
) -> None:
    found = Draws([key], start, count).numbers(0, torch.device("cpu")).tolist()
    for place, number in enumerate(found, start):
        step, word = place // 8, place % 8
        halves = []
        for plane in (0, 1):
            counter = (step % 2**32, step >> 32, plane, 0)
            out = slow_philox(counter, (key % 2**32, key >> 32))[word // 2]
            halves.append(out >> 16 if word % 2 else out & 0xFFFF)
        assert number == halves[0] << 16 | halves[1]


def test_a_probability_of_one_keeps_all_and_both_kinds_of_mask_agree() -> None:
    like = torch.zeros(10_000)
    draws = Draws([key_of(0, "m", "t")], 5, 10_000)
    assert draws.kept(0, 1.0, like).all()
    assert not draws.kept(0, 0.0, like).any()
    probabilities = torch.full((10_000,), 0.3, dtype=torch.float64)
    assert draws.kept_by(0, probabilities).equal(draws.kept(0, 0.3, like))


def test_what_may_differ_per_model() -> None:
    found = {name: set(method.per_model) for name, method in METHODS.items() if method.per_model}
    assert found == PER_MODEL
    for name, options in PER_MODEL.items():
        flagged = {field.name for field in get_method(name).fields() if field.per_model}
        assert flagged == options
        # a recipe's own option is still one number
        assert all(field.kind == "float" for field in get_method(name).fields() if field.per_model)


@pytest.mark.parametrize("name", sorted(PER_MODEL))
def test_equal_values_for_each_model_are_one_value(name: str) -> None:
    base, *models = tensors((20, 30), METHODS[name].max_models or 3, 0)
    given_base = base if METHODS[name].needs_base == "required" else None
    one = {option: VALUES.get(option, (0.5,))[-1] for option in PER_MODEL[name]}
    several = {option: [value] * len(models) for option, value in one.items()}
    assert merge(name, given_base, models, **several).equal(merge(name, given_base, models, **one))


@pytest.mark.parametrize("name", sorted(set(PER_MODEL) - {"passthrough"}))
@pytest.mark.parametrize("form", [{}, {"rescale": "l1"}, {"rescale": "none"}])
def test_each_model_gets_its_own_value(name: str, form: dict[str, str]) -> None:
    """Alone with its own value, a model is pruned as it is beside the others."""
    if form and "rescale" not in METHODS[name].options.model_fields:
        pytest.skip("nothing to rescale")
    base, *models = tensors((20, 30), 3, 1)
    several = {option: VALUES[option] for option in PER_MODEL[name]}
    keys = [key_of(0, f"model{i}", "t") for i in range(3)]
    weights = [1.0, 0.5, 2.0]
    elects = "election_weights" in METHODS[name].options.model_fields
    switch = {"normalize": False, "election_weights": True} if elects else {}
    merged = merge(name, base, models, weights, **several, **form, **switch)
    alone = [
        merge(
            name,
            base,
            [model],
            [weight],
            keys=[key],
            **{option: values[i] for option, values in several.items()},
            **form,
            **switch,
        )
        - base
        for i, (model, weight, key) in enumerate(zip(models, weights, keys, strict=True))
    ]
    total = sum(alone)
    if elects:
        total = sum(part * (part.sign() == torch.where(total >= 0, 1.0, -1.0)) for part in alone)
    torch.testing.assert_close(merged, base + total, rtol=1e-5, atol=1e-5)
    turned = merge(
        name, base, models, weights, **{o: v[::-1] for o, v in several.items()}, **form, **switch
    )
    assert not turned.allclose(merged)


def test_the_wrong_number_of_values_and_a_spread_too_wide_for_one_model() -> None:
    assert each(0.5, 3) == [0.5, 0.5, 0.5]
    with pytest.raises(ValueError, match="2 values for 3 models"):
        each([0.5, 0.1], 3)
    check = get_method("della").check
    assert check is not None
    assert check([1.0, 1.0], density=[0.5, 0.1], epsilon=0.15) is None
    problem = check([1.0, 1.0], density=[0.5, 0.1], epsilon=[0.9, 0.2])
    assert problem is not None and "density 0.1 and epsilon 0.2" in problem
