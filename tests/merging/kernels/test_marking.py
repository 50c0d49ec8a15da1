"""What DELLA keeps of unusual rows, against ranks by sorting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from merging.kernels import dare, della
from merging.kernels.della import SCALE, by_rank
from merging.kernels.masks import words_for
from merging.kernels.pruning import mark_rows
from tests.merging.kernels.reference import (
    Tensors,
    by_kernel,
    by_method,
    experts,
    numbers,
    same_bits,
)

N = 3001
KEY = 0x0123456789ABCDEF


def row(kind: str) -> np.ndarray[Any, Any]:
    random = np.random.default_rng(5)
    normal = random.standard_normal(N)
    return {
        "normal": normal,
        "one magnitude": np.where(normal > 0, 0.5, -0.5),
        "few magnitudes": np.round(normal * 4) / 4,
        # all in one bucket, no two alike: the row has to be sorted
        "one bucket": 1 + random.permutation(N) * 2.0**-23,
        "an outlier": np.where(np.arange(N) == 70, 1e20, normal * 1e-9),
        "subnormal": normal * 1e-42,
        # few enough that need their ranks to be counted
        "ties and others": np.where(random.random(N) < 0.01, normal, np.round(normal * 8) / 8),
        "zeros": np.where(random.random(N) < 0.9, 0, normal),
    }[kind].astype(np.float32)


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 0.9])
@pytest.mark.parametrize(
    "kind",
    ["normal", "one magnitude", "few magnitudes", "one bucket", "an outlier", "subnormal",
     "ties and others", "zeros"],
)  # fmt: skip
def test_what_is_kept_follows_from_the_ranks(kind: str, epsilon: float) -> None:
    rows = np.concatenate([row(kind), row("normal"), row(kind)])
    limits = np.rint(by_rank(N, 0.5, epsilon) * SCALE).astype(np.int64)
    masks = np.zeros((1, 3 * words_for(N)), np.uint32)
    zero, keys = np.zeros(3 * N, np.float32), np.array([KEY], np.uint64)
    mark_rows(rows[None], zero, keys, 2 * N, limits[None], masks, 0)
    for number in range(3):
        values = rows[number * N : (number + 1) * N]
        ranks = np.empty(N, np.int64)
        ranks[np.argsort(np.abs(values), kind="stable")] = np.arange(N)
        expected = numbers(KEY, (2 + number) * N, N) < limits[ranks]
        words = masks[0, number * words_for(N) : (number + 1) * words_for(N)]
        found = np.unpackbits(words.view(np.uint8), bitorder="little")[:N].astype(bool)
        assert (found == expected)[values != 0].all()


@pytest.mark.parametrize("name", ["dare_linear", "dare_ties", "della"])
def test_masks_that_are_not_kept_are_found_again(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dare, "MASK_BYTES", 0)
    monkeypatch.setattr(della, "MASK_BYTES", 0)
    tensors = Tensors(*experts((40, 130), 3), chunk=2600, by_rows=name == "della")
    merged = by_kernel(name, tensors, rescale="l1", density=0.4)
    assert same_bits(merged, by_method(name, tensors, rescale="l1", density=0.4))
