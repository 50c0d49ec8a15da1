"""Attention of single tokens to their own past, compiled for the processor.

A token that is generated looks at a few hundred keys once. torch's kernels are made for many
queries at a time: on one they reach less than half of the speed at which keys and values can be
read. numba compiles this in a second or two, once on a machine; ``compiled`` gives None where that
is impossible.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

Kernel = Callable[..., None]
"""Takes what ``attend`` below takes."""


@cache
def compiled(size: int, group: int) -> Kernel | None:
    """The kernel for heads of ``size``, ``group`` queries to a key; None without numba."""
    try:
        import numba
    except ImportError:
        return None
    options = {"fastmath": True, "nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(**options, cache=True)(_attention(size, group))
    except RuntimeError:  # no folder to keep machine code in
        return numba.njit(**options)(_attention(size, group))


def _attention(size: int, group: int) -> Callable[..., None]:
    f4, i4 = np.float32, np.int32
    log2e, ln2, half, one = f4(1.44269504), f4(0.69314718), f4(0.5), f4(1)
    c3, c4, c5, c6 = f4(1 / 6), f4(1 / 24), f4(1 / 120), f4(1 / 720)
    lowest, bias, shift = f4(-126), i4(127), i4(23)

    def attend(
        queries: Any,
        newest_keys: Any,
        newest_values: Any,
        keys: Any,
        values: Any,
        out: Any,
        lengths: Any,
        scale: Any,
        start: int,
        stop: int,
    ) -> None:
        """Append keys and values; weigh the values by the softmax of products with the keys.

        exp(x) = 2^k exp(y) with y within half of ln 2, by Taylor's sixth degree: to 2e-7. The
        products are never above 0, for the largest of them is taken off.

        Args:
            queries: shape (rows, heads * group, size), float32.
            newest_keys: shape (rows, heads, size): become each row's last.
            newest_values: the same.
            keys: shape (rows, heads, capacity, size).
            values: shape of the keys.
            out: shape of the queries.
            lengths: of each row with its newest token, int64.
            scale: of the products, float32.
            start: the first row.
            stop: behind the last row.
        """
        weights = np.empty((group, keys.shape[2]), np.float32)
        bits = np.empty(keys.shape[2], np.int32)
        powers = bits.view(np.float32)
        for b in range(start, stop):
            n = lengths[b]
            for g in range(keys.shape[1]):
                key, value = keys[b, g], values[b, g]
                for i in range(size):
                    key[n - 1, i] = newest_keys[b, g, i]
                    value[n - 1, i] = newest_values[b, g, i]
                for r in range(group):
                    query = queries[b, g * group + r]
                    w = weights[r]
                    # Two at a time: one sum alone, LLVM does not vectorise for every size.
                    for t in range(0, n - 1, 2):
                        k0, k1 = key[t], key[t + 1]
                        s0, s1 = f4(0), f4(0)
                        for i in range(size):
                            s0 += query[i] * k0[i]
                            s1 += query[i] * k1[i]
                        w[t], w[t + 1] = s0 * scale, s1 * scale
                    if n % 2:
                        k0, s0 = key[n - 1], f4(0)
                        for i in range(size):
                            s0 += query[i] * k0[i]
                        w[n - 1] = s0 * scale
                    top = w[0]
                    for t in range(n):
                        top = max(top, w[t])
                    for t in range(n):
                        x = max((w[t] - top) * log2e, lowest)
                        k = i4(x - half)  # the nearest: x is not above 0
                        y = (x - f4(k)) * ln2
                        w[t] = one + y * (
                            one + y * (half + y * (c3 + y * (c4 + y * (c5 + y * c6))))
                        )
                        bits[t] = (k + bias) << shift
                    total = f4(0)
                    for t in range(n):
                        w[t] *= powers[t]
                        total += w[t]
                    seen = out[b, g * group + r]
                    for i in range(size):
                        seen[i] = f4(0)
                    fours = n - n % 4
                    for t in range(0, fours, 4):
                        w0, w1, w2, w3 = w[t], w[t + 1], w[t + 2], w[t + 3]
                        v0, v1, v2, v3 = value[t], value[t + 1], value[t + 2], value[t + 3]
                        for i in range(size):
                            seen[i] += w0 * v0[i] + w1 * v1[i] + w2 * v2[i] + w3 * v3[i]
                    for t in range(fours, n):
                        w0, v0 = w[t], value[t]
                        for i in range(size):
                            seen[i] += w0 * v0[i]
                    for i in range(size):
                        seen[i] /= total

    return attend
