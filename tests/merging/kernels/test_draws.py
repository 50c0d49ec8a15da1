from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merging.kernels.draws import threshold, words
from tests.merging.kernels.reference import number, numbers, philox


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([2**32 - 1] * 4, [2**32 - 1] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_reference_gives_the_known_answers_of_random123(
    counter: list[int], key: list[int], expected: list[int]
) -> None:
    assert philox(counter, key) == expected


def test_first_numbers_under_key_zero_are_the_words_of_the_known_answer() -> None:
    known = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    halves = [half for word in known for half in (word & 0xFFFF, word >> 16)]
    assert (words(0, 0, 8) >> 16).tolist() == halves


@settings(deadline=None)
@given(
    key=st.integers(0, 2**64 - 1),
    start=st.integers(0, 2**40) | st.integers(2**35 - 20, 2**35 + 20),
    count=st.integers(0, 40),
)
def test_words_are_the_definition(key: int, start: int, count: int) -> None:
    expected = [number(key, start + i) for i in range(count)]
    assert words(key, start, count).tolist() == expected
    assert numbers(key, start, count).tolist() == expected


def test_words_are_uniform_and_independent_of_the_key() -> None:
    one, other = words(1, 0, 1 << 20), words(2, 0, 1 << 20)
    shares = np.bincount(one >> 24, minlength=256) / one.size
    assert abs(shares - 1 / 256).max() < 6 * (1 / 256 / one.size) ** 0.5
    assert abs(np.corrcoef(one, other)[0, 1]) < 6e-3
    assert abs(np.corrcoef(one[1:], one[:-1])[0, 1]) < 6e-3


def test_probability_one_is_above_every_number() -> None:
    assert threshold(1.0) == 2**32
    assert threshold(0.5) == 2**31
