"""Random numbers that belong to (seed, model, tensor, element) and to nothing else.

A counter-based generator (Philox 4x64) keyed by a hash of the seed, the model's fingerprint and the
tensor's name is positioned by the element's flat index. So a mask changes neither with the order of
models or tensors, nor with another model in the recipe, nor with the size of the chunks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

# one step of Philox 4x64 gives four 64-bit words, which serve eight elements of 32 bits
ELEMENTS_PER_STEP = 8
SCALE = 2**32


def key_of(seed: int, model: str, tensor: str) -> int:
    """The 128-bit key of one model's tensor; `model` is its fingerprint (or else its name)."""
    text = "\0".join((str(seed), model, tensor))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")


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
            like: tensor whose device the mask is put on.

        Returns:
            `[count]` bool.
        """
        import torch

        words = self._words(self.keys[model])
        mask = torch.from_numpy(words < round(density * SCALE))
        return mask if like.device.type == "cpu" else mask.to(like.device)

    def kept_by(self, model: int, probabilities: Tensor) -> Tensor:
        """A mask in which every element has a probability of its own.

        Args:
            model: position of the constituent.
            probabilities: `[count]` float64 of True, rounded to multiples of 2^-32.

        Returns:
            `[count]` bool on the same device.
        """
        import torch

        words = torch.from_numpy(self._words(self.keys[model]).astype("int64"))
        return words.to(probabilities.device) < (probabilities * SCALE).round()

    def _words(self, key: int) -> NDArray[np.uint32]:
        """`[count]` unsigned 32-bit integers."""
        import numpy as np

        first = self.start // ELEMENTS_PER_STEP
        last = -(-(self.start + self.count) // ELEMENTS_PER_STEP)
        stream = np.random.Philox(key=key, counter=first)
        words = stream.random_raw(4 * (last - first)).astype("<u8", copy=False).view("<u4")
        offset = self.start - first * ELEMENTS_PER_STEP
        return words[offset : offset + self.count]
