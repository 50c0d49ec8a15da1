"""Random numbers that belong to (seed, model, tensor, element) and to nothing else.

A counter-based generator keyed by a hash of the seed, the model's fingerprint and the tensor's name
is positioned by the element's flat index. So a mask changes neither with the order of models or
tensors, nor with another model in the recipe, nor with the size of the chunks, nor with the device.

The number of element e is u = 2^16 h_0 + h_1, where h_i is the (e mod 8)-th 16-bit word, lowest
first, of Philox 4x32-10 at the counter (e // 8 low, e // 8 high, i, 0). An element is kept with
probability p when u < round(2^32 p). As h_0 alone nearly always decides, a program that goes one
element at a time hardly ever needs h_1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from merging.methods.philox import WORD, philox

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# one step of the generator gives four 32-bit words: half a number for each of eight elements
ELEMENTS_PER_STEP = 8
HALF = 0xFFFF
SCALE = 2**32


def key_of(seed: int, model: str, tensor: str) -> int:
    """The 64-bit key of one model's tensor; `model` is its fingerprint (or else its name)."""
    text = "\0".join((str(seed), model, tensor))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


@dataclass(frozen=True)
class Draws:
    """Random numbers for the elements `start` to `start + count` of one tensor.

    Attributes:
        keys: one key per constituent (`key_of`).
        start: flat index of the first element.
        count: number of elements.
    """

    keys: Sequence[int]
    start: int
    count: int

    def kept(self, model: int, density: float, like: Tensor) -> Tensor:
        """A Bernoulli(density) mask.

        Args:
            model: position of the constituent.
            density: probability of True, rounded to a multiple of 2^-32.
            like: tensor on whose device the mask is drawn.

        Returns:
            `[count]` bool.
        """
        return self.numbers(model, like.device) < round(density * SCALE)

    def kept_by(self, model: int, probabilities: Tensor) -> Tensor:
        """A mask in which every element has a probability of its own.

        Args:
            model: position of the constituent.
            probabilities: `[count]` float64 of True, rounded to multiples of 2^-32.

        Returns:
            `[count]` bool on the same device.
        """
        return self.numbers(model, probabilities.device) < (probabilities * SCALE).round()

    def numbers(self, model: int, device: torch.device) -> Tensor:
        """`[count]` int64 from 0 to 2^32 - 1, each element's number, for one constituent."""
        return self._halves(self.keys[model], 0, device) << 16 | self._halves(
            self.keys[model], 1, device
        )

    def _halves(self, key: int, plane: int, device: torch.device) -> Tensor:
        """`[count]` int64 from 0 to 2^16 - 1: h_0 (plane 0) or h_1 (plane 1) of each element."""
        import torch

        first = self.start // ELEMENTS_PER_STEP
        last = -(-(self.start + self.count) // ELEMENTS_PER_STEP)
        steps = torch.arange(first, last, device=device)
        zeros = torch.zeros_like(steps)
        words = torch.stack(philox((steps & WORD, steps >> 32, zeros + plane, zeros), key), dim=1)
        halves = torch.stack((words & HALF, words >> 16), dim=2).flatten()
        offset = self.start - first * ELEMENTS_PER_STEP
        return halves[offset : offset + self.count]
