"""Keys and values of the answers that grow together, one row for each, without padding in front."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from evaluation.scoring.attention import Kernel, compiled

_TOGETHER = 32  # rows that attend together, as far as the longest of them has come
_MANY = 2_000_000_000  # numbers of keys looked at, for which compiled attention is worth its time


class SlotCache:
    """Buffers of shape (rows, heads, capacity, size) for each layer; row i holds lengths[i].

    Memory that no answer has come to yet is asked for but not taken.

    Args:
        layers: of the model.
        rows: answers at most.
        heads: of keys and values.
        capacity: tokens of the longest answer with its prompt.
        size: of a head.
        dtype: of the model.
        device: of the model.
    """

    def __init__(
        self,
        layers: int,
        rows: int,
        heads: int,
        capacity: int,
        size: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        shape = (rows, heads, capacity, size)
        self.keys = [_zeros(shape, dtype, device) for _ in range(layers)]
        self.values = [_zeros(shape, dtype, device) for _ in range(layers)]
        self.device = device
        self.lengths = [0] * rows
        self._rows = torch.arange(rows, device=device)
        self._newest = self._rows[:0]
        self._parts: list[tuple[int, int, int, torch.Tensor | None]] = []
        self._kernel: Kernel | None = None
        self._lengths = np.zeros(0, dtype=np.int64)

    def expect(self, seen: int, heads: int) -> None:
        """Prepare for the work to come.

        Args:
            seen: positions that all new tokens together will look at.
            heads: of queries.
        """
        _, kv_heads, _, size = self.keys[0].shape
        # Loading numba takes some 90 MB: only where this process has loaded it already.
        much = seen * len(self.keys) * heads * size >= _MANY and "numba" in sys.modules
        if much and self.device.type == "cpu" and self.keys[0].dtype == torch.float32:
            self._kernel = compiled(size, heads // kv_heads)

    def set_lengths(self, rows: list[int], lengths: list[int]) -> None:
        """Say how much of some rows is in use."""
        for row, length in zip(rows, lengths, strict=True):
            self.lengths[row] = length

    def fill(self, layer: int, row: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Write a prompt's keys and values, shape (t, heads, size), to the start of a row."""
        self.keys[layer][row, :, : len(keys)] = keys.transpose(0, 1)
        self.values[layer][row, :, : len(keys)] = values.transpose(0, 1)

    def move(self, source: int, target: int) -> None:
        """Copy a row over another."""
        length = self.lengths[source]
        for buffer in (*self.keys, *self.values):
            buffer[target, :, :length] = buffer[source, :, :length]
        self.lengths[target] = length

    def places(self, n: int) -> torch.Tensor:
        """Positions of the next tokens of the first n rows, shape (n,)."""
        return torch.tensor(self.lengths[:n], device=self.device)

    def grow(self, n: int) -> None:
        """Make the first n rows longer by the token that comes next."""
        self._newest = self.places(n)
        self.lengths[:n] = [length + 1 for length in self.lengths[:n]]
        if self._kernel is not None:
            self._lengths = np.array(self.lengths[:n], dtype=np.int64)
            return
        self._parts = []
        for start in range(0, n, _TOGETHER):
            end = min(start + _TOGETHER, n)
            newest = self._newest[start:end]
            lengths = self.lengths[start:end]
            mask = None
            if min(lengths) < max(lengths):
                reached = torch.arange(max(lengths), device=self.device)
                mask = (reached <= newest[:, None])[:, None, None]
            self._parts.append((start, end, max(lengths), mask))

    def attend(
        self,
        layer: int,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        """Write the newest tokens' keys and values, and let them see all of their rows.

        Args:
            layer: its number.
            queries: shape (n, query heads, size).
            keys: shape (n, heads, size); row i gets keys[i].
            values: shape of the keys.
            scale: of the products.

        Returns:
            What each query sees, of its shape.
        """
        if self._kernel is not None:
            return self._attend_compiled(self._kernel, layer, (queries, keys, values), scale)
        rows = self._rows[: len(keys)]
        all_keys, all_values = self.keys[layer], self.values[layer]
        all_keys[rows, :, self._newest] = keys
        all_values[rows, :, self._newest] = values
        # The queries that share a key stand behind one another, as if they were tokens.
        grouped = queries.unflatten(1, (keys.shape[1], -1))
        seen = [
            scaled_dot_product_attention(
                grouped[start:end],
                all_keys[start:end, :, :longest],
                all_values[start:end, :, :longest],
                attn_mask=mask,
                scale=scale,
            )
            for start, end, longest, mask in self._parts
        ]
        return torch.cat(seen).flatten(1, 2)

    def _attend_compiled(
        self, kernel: Kernel, layer: int, newest: tuple[torch.Tensor, ...], scale: float
    ) -> torch.Tensor:
        queries, keys, values = (part.contiguous() for part in newest)
        out = torch.empty_like(queries)
        buffers = (queries, keys, values, self.keys[layer], self.values[layer], out)
        given = (*(buffer.numpy() for buffer in buffers), self._lengths, np.float32(scale))
        threads = min(torch.get_num_threads(), len(queries))
        if threads == 1:
            kernel(*given, 0, len(queries))
            return out
        ends = [len(queries) * i // threads for i in range(threads + 1)]
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda start, end: kernel(*given, start, end), ends, ends[1:]))
        return out


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Zeros, for masked positions are multiplied by zero, and zero times NaN is NaN.

    On a CPU from numpy, which leaves the zeros to the system: memory is taken when written to.
    """
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    data = np.zeros(int(np.prod(shape)) * dtype.itemsize, dtype=np.uint8)
    return torch.from_numpy(data).view(dtype).view(shape)
