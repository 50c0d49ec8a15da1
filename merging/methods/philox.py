"""Philox 4x32-10, the counter-based generator, in torch arithmetic that any device does alike.

Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3, SC 2011.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
WORD = 0xFFFFFFFF


def philox(
    counter: tuple[Tensor, Tensor, Tensor, Tensor], key: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Four random words for each counter.

    Args:
        counter: four tensors `[m]` int64, each from 0 to 2^32 - 1, the lowest word first.
        key: 64 bits.

    Returns:
        Four tensors `[m]` int64 on the counter's device, each from 0 to 2^32 - 1.
    """
    a, b, c, d = counter
    low, high = key & WORD, key >> 32
    for _ in range(ROUNDS):
        # products of 64 bits wrap around in int64, which leaves their bits as they are
        first, second = a * MULTIPLIERS[0], c * MULTIPLIERS[1]
        a = (second >> 32 & WORD) ^ b ^ low
        b = second & WORD
        c = (first >> 32 & WORD) ^ d ^ high
        d = first & WORD
        low, high = (low + WEYL[0]) & WORD, (high + WEYL[1]) & WORD
    return a, b, c, d
