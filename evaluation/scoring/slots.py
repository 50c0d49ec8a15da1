"""Prompts in the middle of being answered, and the cache they share.

The cache is kept in buffers with room to grow: transformers' own appends by copying all of it at
every token, which for small models on a CPU costs as much as the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

from evaluation.scoring.forward import Forward
from evaluation.scoring.loglikelihood import NotANumber

_ROOM = 64  # tokens added to a full buffer


@dataclass(frozen=True)
class Prompt:
    """A prompt to continue.

    Attributes:
        index: of the request it answers.
        tokens: token ids, never empty, short enough for ``max_new_tokens`` more.
        until: the answer ends before the first of these strings.
        max_new_tokens: the answer ends after so many tokens.
        until_tokens: the answer ends before one of these tokens: stop strings that are special
            tokens never show up in decoded text.
        thought: None to let ``until`` end the answer anywhere, else only behind its thoughts;
            True when the prompt has opened one.
    """

    index: int
    tokens: list[int]
    until: tuple[str, ...]
    max_new_tokens: int
    until_tokens: frozenset[int] = frozenset()
    thought: bool | None = None


@dataclass
class Slot:
    """A prompt and its answer so far; ``done`` slots wait to be taken out."""

    prompt: Prompt
    tokens: list[int] = field(default_factory=list)
    done: bool = False


class GrowingLayer(DynamicLayer):
    """One layer's keys and values, shape (b, heads, t, size), in buffers with room to grow."""

    keys: torch.Tensor
    values: torch.Tensor
    key_buffer: torch.Tensor
    value_buffer: torch.Tensor

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append new positions; returns all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.hold(key_states, value_states)
            return self.keys, self.values
        length = self.keys.shape[-2]
        total = length + key_states.shape[-2]
        if total > self.key_buffer.shape[-2]:
            self.key_buffer = _with_room(self.keys, total + _ROOM)
            self.value_buffer = _with_room(self.values, total + _ROOM)
        self.key_buffer[:, :, length:total] = key_states
        self.value_buffer[:, :, length:total] = value_states
        self.keys = self.key_buffer[:, :, :total]
        self.values = self.value_buffer[:, :, :total]
        return self.keys, self.values

    def hold(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Take these as all there is; room is made when the next position comes."""
        self.keys = self.key_buffer = keys
        self.values = self.value_buffer = values

    def select(self, index: torch.Tensor, start: int) -> None:
        """Keep some rows, and their positions from ``start`` on."""
        self.hold(self.keys[index, :, start:], self.values[index, :, start:])

    def join(self, other: GrowingLayer, width: int) -> None:
        """Append another batch's rows, both padded on the left to ``width`` positions."""
        self.hold(
            torch.cat([pad_left(self.keys, width, -2), pad_left(other.keys, width, -2)]),
            torch.cat([pad_left(self.values, width, -2), pad_left(other.values, width, -2)]),
        )


class Batch:
    """Slots decoding together, left-padded.

    ``mask`` has shape (b, t): which of the t cached positions are real. ``last`` has shape (b,):
    each slot's newest token, not yet fed; ``places`` its position.

    Args:
        forward: the model.
    """

    def __init__(self, forward: Forward) -> None:
        self.forward = forward
        self.slots: list[Slot] = []
        self.cache = Cache(layer_class_to_replicate=GrowingLayer)
        device = forward.device
        self.mask = torch.zeros(0, 0, dtype=torch.long, device=device)
        self.last = torch.zeros(0, dtype=torch.long, device=device)
        self.places = torch.zeros(0, dtype=torch.long, device=device)

    @property
    def alive(self) -> int:
        """Slots whose answers are not finished."""
        return sum(not slot.done for slot in self.slots)

    def add(self, prompts: Sequence[Prompt]) -> None:
        """Run new prompts and let them join; each gets its first token.

        Raises:
            NotANumber: the model's output is NaN.
        """
        self.drop_done()
        width = max(len(prompt.tokens) for prompt in prompts)
        ids = torch.zeros(len(prompts), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, prompt in enumerate(prompts):
            ids[i, width - len(prompt.tokens) :] = torch.tensor(prompt.tokens)
            mask[i, width - len(prompt.tokens) :] = 1
        device = self.forward.device
        ids, mask = ids.to(device), mask.to(device)
        places = (mask.cumsum(-1) - 1).clamp(min=0)
        read = torch.arange(1, len(prompts) + 1, device=device) * width - 1
        cache = Cache(layer_class_to_replicate=GrowingLayer)
        last = self._forward(ids, read, mask, places, cache)
        slots = [Slot(prompt) for prompt in prompts]
        _note(last, slots)
        self._join(cache, mask)
        self.places = torch.cat([self.places, places[:, -1] + 1])
        self.last = torch.cat([self.last, last])
        self.slots += slots

    def step(self) -> None:
        """One more token for every slot."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.slots), 1)], dim=1)
        read = torch.arange(len(self.slots), device=self.forward.device)
        self.last = self._forward(
            self.last[:, None], read, self.mask, self.places[:, None], self.cache
        )
        self.places = self.places + 1
        _note(self.last, self.slots)

    def drop_done(self) -> None:
        """Take finished slots out, and the padding that nobody needs any more."""
        rows = [i for i, slot in enumerate(self.slots) if not slot.done]
        if len(rows) == len(self.slots):
            return
        self.slots = [self.slots[i] for i in rows]
        index = torch.tensor(rows, dtype=torch.long, device=self.forward.device)
        mask = self.mask[index]
        start = int(mask.any(dim=0).long().argmax()) if rows else mask.shape[1]
        self.mask = mask[:, start:]
        self.last, self.places = self.last[index], self.places[index]
        for layer in self.cache.layers:
            layer.select(index, start)

    def _join(self, cache: Any, mask: torch.Tensor) -> None:
        if not self.slots:
            self.cache, self.mask = cache, mask
            return
        width = max(self.mask.shape[1], mask.shape[1])
        self.mask = torch.cat([pad_left(self.mask, width, -1), pad_left(mask, width, -1)])
        for layer, new in zip(self.cache.layers, cache.layers, strict=True):
            layer.join(new, width)

    def _forward(
        self,
        ids: torch.Tensor,
        read: torch.Tensor,
        mask: torch.Tensor,
        places: torch.Tensor,
        cache: Any,
    ) -> torch.Tensor:
        best, highest = self.forward.likeliest(
            ids,
            read,
            attention_mask=mask,
            position_ids=places,
            past_key_values=cache,
            use_cache=True,
        )
        if torch.isnan(highest).any():
            raise NotANumber(
                "the model answers NaN (not a number); its weights are damaged, or the merge that "
                "made them overflowed"
            )
        return best


def _note(tokens: torch.Tensor, slots: Sequence[Slot]) -> None:
    """Write the newest tokens, shape (b,), to the slots that are not done."""
    for slot, token in zip(slots, tokens.tolist(), strict=True):
        if not slot.done:
            slot.tokens.append(token)


def _with_room(tensor: torch.Tensor, length: int) -> torch.Tensor:
    """A longer buffer that starts with the tensor, shape (b, heads, length, size)."""
    buffer = tensor.new_empty(*tensor.shape[:-2], length, tensor.shape[-1])
    buffer[:, :, : tensor.shape[-2]] = tensor
    return buffer


def pad_left(tensor: torch.Tensor, width: int, dim: int) -> torch.Tensor:
    """Zeros in front until the dimension has ``width`` entries."""
    missing = width - tensor.shape[dim]
    if not missing:
        return tensor
    shape = list(tensor.shape)
    shape[dim] = missing
    return torch.cat([tensor.new_zeros(shape), tensor], dim=dim)
