"""Plain numpy: Philox 4x32-10, the draws made of it, and tensors that both sides merge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from merging.kernels import KERNELS
from merging.kernels.chunks import Chunk
from merging.methods import METHODS
from merging.methods.inputs import Inputs, spans
from merging.recipes.checks import complete_options


def philox(counter: Sequence[int], key: Sequence[int]) -> list[int]:
    """Philox 4x32-10 as the paper writes it: four words of a counter, two of a key."""
    c, k = list(counter), list(key)
    for number in range(10):
        if number:
            k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
        one, two = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [
            (two >> 32) ^ c[1] ^ k[0],
            two % 2**32,
            (one >> 32) ^ c[3] ^ k[1],
            one % 2**32,
        ]
    return c


def number(key: int, element: int) -> int:
    """The 32-bit number of an element, from its definition."""
    step, place = divmod(element, 8)
    halves = []
    for half in (0, 1):
        words = philox((step % 2**32, step >> 32, half, 0), (key % 2**32, key >> 32))
        halves.append(words[place // 2] >> 16 * (place % 2) & 0xFFFF)
    return halves[0] << 16 | halves[1]


def numbers(key: int, start: int, count: int) -> np.ndarray[Any, Any]:
    """The numbers of consecutive elements, `[count]` int64."""
    elements = np.arange(start, start + count, dtype=np.uint64)
    step, place = elements // 8, (elements % 8).astype(np.int64)
    low = np.uint64(0xFFFFFFFF)
    result = np.zeros(count, dtype=np.uint64)
    for half in (0, 1):
        c = [step & low, step >> np.uint64(32), np.full_like(step, half), np.zeros_like(step)]
        k = [key % 2**32, key >> 32]
        for _ in range(10):
            one, two = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
            c = [
                (two >> np.uint64(32)) ^ c[1] ^ np.uint64(k[0]),
                two & low,
                (one >> np.uint64(32)) ^ c[3] ^ np.uint64(k[1]),
                one & low,
            ]
            k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
        words = np.stack(c)[place // 2, np.arange(count)]
        word = words >> (place % 2 * 16).astype(np.uint64) & np.uint64(0xFFFF)
        result |= word << np.uint64(0 if half else 16)
    return result.astype(np.int64)


@dataclass(frozen=True)
class ReferenceDraws:
    """`merging.methods.draws.Draws` by the definition above."""

    keys: Sequence[int]
    start: int
    count: int

    def kept(self, model: int, density: float, like: torch.Tensor) -> torch.Tensor:
        words = numbers(self.keys[model], self.start, self.count)
        return torch.from_numpy(words < round(density * 2**32))

    def kept_by(self, model: int, probabilities: torch.Tensor) -> torch.Tensor:
        words = torch.from_numpy(numbers(self.keys[model], self.start, self.count))
        return words < (probabilities * 2**32).round()


class Tensors:
    """One tensor of a base and K models in memory: whole for the kernels and for the methods."""

    def __init__(
        self,
        base: np.ndarray[Any, Any] | None,
        models: Sequence[np.ndarray[Any, Any]],
        weights: Sequence[float] | None = None,
        *,
        chunk: int = 1 << 16,
        by_rows: bool = False,
        keys: Sequence[int] | None = None,
        as_stored: bool = False,
    ) -> None:
        """`as_stored` cuts everything to bfloat16, and gives it to kernels as its bits."""
        self.base = None if base is None else np.array(base, np.float32).ravel()
        self.models = np.stack([np.asarray(model, np.float32).ravel() for model in models])
        self.weights = [1.0] * len(models) if weights is None else list(weights)
        self.keys = keys or [(0x9E3779B97F4A7C15 * (k + 1)) % 2**64 for k in range(len(models))]
        self.n_models, self.n_elements = self.models.shape
        shape = np.shape(models[0])
        self.row_length = shape[-1] if shape else 1
        self.passes = 0
        self._chunk = chunk
        self._by_rows = by_rows
        self._as_stored = as_stored
        if as_stored:
            for rows in (self.models, *([] if self.base is None else [self.base])):
                rows.view(np.uint32)[...] &= np.uint32(0xFFFF0000)

    def spans(self, size: int) -> Iterator[tuple[int, int]]:
        return spans(self.n_elements, size, self.row_length if self._by_rows else 1)

    # what kernels see

    def chunks(self) -> Iterator[Chunk]:
        self.passes += 1
        return (self.piece(start, stop) for start, stop in self.spans(self._chunk))

    def piece(self, start: int, stop: int) -> Chunk:
        models = self.models[:, start:stop].copy()
        base = None if self.base is None else self.base[start:stop]
        if self._as_stored:
            models, base = upper_halves(models), None if base is None else upper_halves(base)
        return Chunk(
            models=models,
            base=base,
            weights=self.weights,
            keys=self.keys,
            start=start,
            row_length=self.row_length,
            out=np.full(stop - start, np.nan, np.float32),
        )

    # what the methods' torch functions see

    def blocks(self) -> Iterator[Inputs]:
        return (self.inputs(start, stop) for start, stop in self.spans(1 << 18))

    def inputs(self, start: int, stop: int, statistics: Any = None) -> Inputs:
        return Inputs(
            models=[torch.from_numpy(model[start:stop].copy()) for model in self.models],
            base_or_none=None
            if self.base is None
            else torch.from_numpy(self.base[start:stop].copy()),
            weights=self.weights,
            draws=ReferenceDraws(self.keys, start, stop - start),  # type: ignore[arg-type]
            row_length=self.row_length,
            statistics=statistics,
        )


def upper_halves(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The bits of bfloat16 numbers as they are stored, uint16."""
    found: np.ndarray[Any, Any] = (values.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    return found


def by_kernel(name: str, tensors: Tensors, **options: Any) -> np.ndarray[Any, Any]:
    """The merge by the kernels, `[n]` float32."""
    complete = complete_options(METHODS[name], options)
    statistics = KERNELS[name].observe(tensors, **complete)
    parts = []
    for chunk in tensors.chunks():
        KERNELS[name].merge(chunk, statistics, **complete)
        parts.append(chunk.out)
    return np.concatenate(parts)


def by_method(name: str, tensors: Tensors, **options: Any) -> np.ndarray[Any, Any]:
    """The merge by the method's torch function, `[n]` float32."""
    complete = complete_options(METHODS[name], options)
    statistics = METHODS[name].observe(tensors, complete)
    inputs = tensors.inputs(0, tensors.n_elements, statistics)
    merged: np.ndarray[Any, Any] = METHODS[name].apply(inputs, complete).numpy()
    return merged


def same_bits(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    """Whether two float32 arrays are equal to the bit, signs of zeros included."""
    return one.shape == other.shape and bool((one.view(np.uint32) == other.view(np.uint32)).all())


def experts(
    n: int | tuple[int, ...], count: int, *, seed: int = 0, coarse: bool = True
) -> tuple[np.ndarray[Any, Any], list[np.ndarray[Any, Any]]]:
    """A base and `count` experts; coarse ones are bfloat16 with many equal and zero changes."""
    generator = torch.Generator().manual_seed(seed)
    shape = (n,) if isinstance(n, int) else n
    base = 0.02 * torch.randn(shape, generator=generator)
    models = []
    for k in range(count):
        noise = (2e-3, 1e-3, 5e-4, 1e-3)[k % 4] * torch.randn(shape, generator=generator)
        share = (0.3, 0.5, 1.0, 0.7)[k % 4]
        changed = torch.rand(shape, generator=generator) < share
        models.append(base + noise * changed)
    if coarse:
        base, models = base.bfloat16().float(), [model.bfloat16().float() for model in models]
    return base.numpy(), [model.numpy() for model in models]
